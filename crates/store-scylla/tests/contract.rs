//! A store on a CQL server keeps the contract.

mod cql;

tidefold_store::store_contract!({
    let Some(cql) = cql::Cql::new() else { return };
    cql
});
