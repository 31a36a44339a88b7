//! The call that rdkafka's safe surface does not offer: whether a record that failed may stand in the log after all.

#![expect(unsafe_code, reason = "librdkafka is C; every block says what makes it sound")]

use rdkafka::bindings as sys;
#[cfg(test)]
use rdkafka::client::{Client, ClientContext};
use rdkafka::message::BorrowedMessage;

/// Whether a record that was not delivered certainly does not stand in the log.
pub(crate) fn certainly_not_written(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message lives during the call.
    let status = unsafe { sys::rd_kafka_message_status(message.ptr()) };
    status == sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// Ends a producer as an error does after which nothing can be promised any more.
#[cfg(test)]
pub(crate) fn fail_for_good<C: ClientContext>(client: &Client<C>) {
    let error = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    // SAFETY: the client outlives the call, which copies the text.
    unsafe { sys::rd_kafka_test_fatal_error(client.native_ptr(), error, c"told to fail".as_ptr()) };
}
