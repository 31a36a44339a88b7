//! The suite every store must pass: one function a behaviour, and [`store_contract!`](crate::store_contract) to make a
//! test of each.
//!
//! ```ignore
//! tidefold_store::store_contract!(MyHarness::new());
//! ```
#![expect(clippy::expect_used, reason = "a behaviour that does not hold fails its test")]

mod bounds;
mod harness;
mod layouts;
mod reading;
mod rows;
mod writing;

pub use self::bounds::*;
pub use self::harness::{Harness, delete, lane, put, table};
pub use self::layouts::*;
pub use self::reading::*;
pub use self::rows::group;
pub use self::writing::*;

/// Makes a `#[tokio::test]` of every behaviour; the argument makes a [`Harness`](crate::contract::Harness), behind
/// attributes of the tests in brackets, if they have some.
#[macro_export]
macro_rules! store_contract {
    ([$($attribute:tt)*] $harness:expr) => {
        $crate::store_contract!(@each [$($attribute)*] $harness;
            last_stamp_wins_in_any_order, a_delete_settles_by_stamp_like_a_put, equal_stamps_change_nothing,
            random_writes_settle_like_the_model, repeated_writes_and_deletes_in_one_table_settle,
            load_keeps_the_order_of_keys, values_are_kept_to_the_byte, open_is_idempotent,
            unopened_tables_are_refused, dropped_tables_are_empty, reopened_rows_are_there,
            stamps_outlive_a_reopen, checkpoint_writes_are_told, two_lanes_write_at_once,
            a_range_goes_through_a_prefix, a_range_ends_where_told, a_prefix_of_the_largest_bytes_has_an_end,
            deleted_rows_are_not_scanned, pages_cover_each_row_once, columns_are_scanned_like_bytes,
            columns_of_every_key_type_are_kept, verdicts_are_scanned_by_position,
            rows_at_the_bounds_are_kept,
        );
    };
    ($harness:expr) => {
        $crate::store_contract!([] $harness);
    };
    (@each $attributes:tt $harness:expr; $($behaviour:ident),+ $(,)?) => {
        $($crate::store_contract!(@one $attributes $harness; $behaviour);)+
    };
    (@one [$($attribute:tt)*] $harness:expr; $behaviour:ident) => {
        $($attribute)*
        #[tokio::test]
        async fn $behaviour() {
            $crate::contract::$behaviour(&mut $harness).await;
        }
    };
}
