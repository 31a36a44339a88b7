//! How a view's partitions are split: `buckets` or `bucket_by`.

use tidefold_codec::Type;
use tidefold_codec::schema::type_text;
use tidefold_codec::truncate::{TruncUnit, units_per_day};
use tidefold_table::layout::UNITS;
use tidefold_table::{Bucket, Clustering};

use super::names::nearest_or_all;
use super::report::Report;
use super::spec::ViewSpec;
use crate::rules;
use crate::sql::OutputColumn;

/// The split that a view asks for; `None` where there is none or it has a mistake.
pub(super) fn judge(
    spec: &ViewSpec,
    columns: &[OutputColumn],
    clustering: &[Clustering],
    report: &mut Report,
) -> Option<Bucket> {
    if let (Some((_, place)), Some(_)) = (&spec.buckets, &spec.bucket_by) {
        let help = "keep `bucket_by` where queries ask for a time, else `buckets`";
        report.toml(rules::BAD_BUCKET, place, "`buckets` and `bucket_by` stand together", help);
        return None;
    }
    let place = spec.bucket_by.as_ref().map(|unit| &unit.span);
    let place = place.or(spec.buckets.as_ref().map(|(_, place)| place))?;
    if spec.clustering.is_empty() {
        let message = "this view has no clustering column: a partition is one row and cannot be split";
        let help = "name the columns that tell a partition's rows apart: clustering = [\"placed_at DESC\", \"order_id\"]";
        report.toml(rules::BAD_BUCKET, place, message, help);
        return None;
    }
    let Some(unit) = &spec.bucket_by else {
        return spec.buckets.as_ref().map(|(buckets, _)| Bucket::Hash { buckets: *buckets });
    };
    let Some((_, found)) = UNITS.iter().find(|(name, _)| *name == unit.value) else {
        let help = nearest_or_all(&unit.value, UNITS.iter().map(|(name, _)| *name), "unit");
        let message = format!("there are no buckets by `{}`", unit.value);
        report.toml(rules::BAD_BUCKET, place, message, help);
        return None;
    };
    let first = columns.get(clustering.first()?.column)?;
    // Where the first has a mistake of its own, what is left is not the first.
    if spec.clustering.first().is_some_and(|column| column.column != first.column.name) {
        return None;
    }
    let (name, ty) = (&first.column.name, &first.column.column.ty);
    if units_per_day(ty).is_none() {
        let message = format!(
            "the first clustering column `{name}` is {} and has no time",
            type_text(&first.column.column)
        );
        let help = "put a timestamp or date first, or split by a hash: buckets = 64";
        report.toml(rules::BAD_BUCKET, place, message, help);
        return None;
    }
    if *ty == Type::Date && *found == TruncUnit::Hour {
        let message = format!("`{name}` is a date, and a date has no hour");
        report.toml(rules::BAD_BUCKET, place, message, "split by day, month or year");
        return None;
    }
    Some(Bucket::Trunc { unit: *found })
}
