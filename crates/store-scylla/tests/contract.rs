//! A store on a CQL server keeps the contract.

mod cql;

tidefold_store::store_contract!(
    [#[cfg_attr(not(cql_is_there), ignore = "needs a CQL server: TIDEFOLD_TEST_CQL (make servers-up)")]]
    cql::Cql::new()
);
