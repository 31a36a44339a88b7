//! The suite that every log must pass, on a real broker.

mod support;

tidefold_log::log_contract!(
    [#[cfg_attr(not(kafka_is_there), ignore = "needs Kafka: TIDEFOLD_TEST_KAFKA (make servers-up)")]]
    support::Place::new(&support::broker())
);
