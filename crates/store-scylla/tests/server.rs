//! What a CQL server does with our tables, and what the store makes of a server that somebody else used.

mod cql;

use bytes::Bytes;
use tidefold_store::contract::{Harness, delete, lane, put, table};
use tidefold_store::{Scan, Store, StoreError, TableWrites};
use tidefold_store_scylla::{ScyllaStore, Settings};
use tidefold_table::TableKind;

use crate::cql::Cql;

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test]
async fn a_row_written_without_our_stamp_is_damaged() {
    let cql = Cql::new();
    let (store, entities) = (cql.store(), table("orders", TableKind::Entity));
    store.open(std::slice::from_ref(&entities)).await.expect("opens");
    let rows = vec![put(b"a", b"1", 3), put(b"b", b"2", 5)];
    store.write(&lane(0), &[TableWrites { table: entities.id.clone(), rows }]).await.expect("writes");
    cql.by_hand(&[r#"UPDATE KS."orders_g1" SET "_value" = 0x42 WHERE "_key" = 0x61"#]);
    let found = store.load(&entities.id, &[Bytes::from_static(b"b")]).await;
    assert_eq!(found, Ok(vec![Some(Bytes::from_static(b"2"))]));
    let damaged = store.load(&entities.id, &[Bytes::from_static(b"b"), Bytes::from_static(b"a")]).await;
    let Err(StoreError::Damaged(damaged)) = damaged else { panic!("{damaged:?}") };
    assert_eq!((&*damaged.table, &*damaged.key), (entities.id.as_str(), "key a"));
    assert!(damaged.found.contains("without our timestamp"), "{damaged}");
    assert!(damaged.remedy.contains("tidefold replay"), "{damaged}");
    let damaged = store.scan(&entities.id, &Scan::All { after: None, limit: 10 }).await;
    assert!(matches!(damaged, Err(StoreError::Damaged(_))), "{damaged:?}");
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test]
async fn an_empty_key_is_a_key() {
    let cql = Cql::new();
    let (store, entities) = (cql.store(), table("orders", TableKind::Entity));
    store.open(std::slice::from_ref(&entities)).await.expect("opens");
    let rows = vec![put(b"", b"1", 3), put(b"\0", b"2", 3), put(b"\0\0", b"3", 3)];
    store.write(&lane(0), &[TableWrites { table: entities.id.clone(), rows }]).await.expect("writes");
    let keys = [b"".as_slice(), b"\0", b"\0\0", b"\0\0\0"].map(Bytes::from_static);
    let found = store.load(&entities.id, &keys).await.expect("loads");
    let text = |text| Some(Bytes::from_static(text));
    assert_eq!(found, [text(b"1"), text(b"2"), text(b"3"), None]);
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test]
async fn an_altered_table_is_refused_with_all_that_is_wrong() {
    let cql = Cql::new();
    let (store, entities) = (cql.store(), table("orders", TableKind::Entity));
    store.open(std::slice::from_ref(&entities)).await.expect("opens");
    cql.by_hand(&[
        r#"ALTER TABLE KS."orders_g1" WITH default_time_to_live = 60 AND gc_grace_seconds = 10"#,
        r#"ALTER TABLE KS."orders_g1" WITH compaction = {'class': 'TimeWindowCompactionStrategy'}"#,
        r#"ALTER TABLE KS."orders_g1" ADD note text"#,
    ]);
    let refused = store.open(std::slice::from_ref(&entities)).await;
    let Err(StoreError::Refused { what, detail }) = refused else { panic!("{refused:?}") };
    assert!(what.contains("contract.orders_g1"), "{what}");
    for said in
        ["default_time_to_live is 60", "gc_grace_seconds is 10", "TimeWindow", "column note", "ALTER TABLE"]
    {
        assert!(detail.contains(said), "{said} is not said: {detail}");
    }
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test]
async fn another_layout_under_the_same_name_is_refused() {
    let cql = Cql::new();
    let store = cql.store();
    store.open(&[table("orders", TableKind::Entity)]).await.expect("opens");
    let refused = store.open(&[table("orders", TableKind::Index)]).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test]
async fn a_put_with_the_stamp_of_a_delete_is_refused() {
    let cql = Cql::new();
    let (store, entities) = (cql.store(), table("orders", TableKind::Entity));
    store.open(std::slice::from_ref(&entities)).await.expect("opens");
    for wrong in [put(b"a", b"1", 4), delete(b"a", 5), put(b"a", b"1", 1), put(b"a", b"1", u64::MAX)] {
        let writes = [TableWrites { table: entities.id.clone(), rows: vec![wrong.clone()] }];
        let refused = store.write(&lane(0), &writes).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{wrong:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_unavailable() {
    let settings =
        Settings { contact_points: vec!["nowhere.invalid:9042".to_owned()], ..Settings::default() };
    let unavailable = ScyllaStore::connect(settings).await.err();
    assert!(matches!(unavailable, Some(StoreError::Unavailable { .. })), "{unavailable:?}");
}

#[tokio::test]
async fn no_contact_point_is_refused() {
    let refused = ScyllaStore::connect(Settings::default()).await.err();
    assert!(matches!(refused, Some(StoreError::Refused { .. })), "{refused:?}");
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test]
async fn an_unknown_data_center_is_refused_with_the_known_ones() {
    let cql = Cql::new();
    let settings = Settings { local_datacenter: Some("moon".to_owned()), ..cql.settings() };
    let refused = ScyllaStore::connect(settings).await.err();
    assert!(matches!(refused, Some(StoreError::Refused { .. })), "{refused:?}");
}

#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test]
async fn the_longest_keyspace_is_taken_and_one_longer_is_refused_before_the_server_is_asked() {
    let cql = Cql::new();
    let entities = [table("orders", TableKind::Entity)];
    let prefix = |len: usize| format!("{:p<len$}", cql.settings().keyspace_prefix);
    let longest = Settings { keyspace_prefix: prefix(48 - "contract".len()), ..cql.settings() };
    let store = ScyllaStore::connect(longest.clone()).await.expect("connects");
    store.open(&entities).await.expect("48 characters");
    cql.by_hand(&[&format!("DROP KEYSPACE \"{}contract\"", longest.keyspace_prefix)]);
    let longer = Settings { keyspace_prefix: prefix(49 - "contract".len()), ..cql.settings() };
    let refused = ScyllaStore::connect(longer).await.expect("connects").open(&entities).await;
    let Err(StoreError::Refused { detail, .. }) = refused else { panic!("{refused:?}") };
    assert!(detail.contains("49 characters") && detail.contains("store.keyspace_prefix"), "{detail}");
}

#[test]
fn a_password_is_not_printed() {
    let settings = Settings { password: Some("seesaw".to_owned()), ..Settings::default() };
    assert!(!format!("{settings:?}").contains("seesaw"));
}

/// The other one stands for a node that was killed with its CREATE under way: its table is described before it is there.
#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_another_node_is_making_is_opened() {
    let cql = Cql::new();
    let ours = cql.store();
    let other = ScyllaStore::connect(cql.settings()).await.expect("connects");
    for round in 0..20 {
        let tables = [table(&format!("orders_{round}"), TableKind::Entity)];
        let (ours, other) = tokio::join!(ours.open(&tables), other.open(&tables));
        assert_eq!((ours, other), (Ok(()), Ok(())), "round {round}");
    }
}
