//! The JSON mapping of protocol buffers: names in lower camel case, times in RFC 3339, 64-bit numbers as texts.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

use crate::proto::DESCRIPTORS;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).ok());

/// The document of a message. Fields that are not set have their default, except messages and optional fields,
/// which are absent: so a program finds the same names in each document.
#[must_use]
pub fn to_json<M: Message + Name>(message: &M) -> Value {
    let descriptor = POOL.as_ref().and_then(|pool| pool.get_message_by_name(&M::full_name()));
    let document = descriptor.and_then(|descriptor| {
        let dynamic = DynamicMessage::decode(descriptor, &*message.encode_to_vec()).ok()?;
        let options = SerializeOptions::new().skip_default_fields(false);
        dynamic.serialize_with_options(serde_json::value::Serializer, &options).ok()
    });
    // The descriptors and the types are generated from the same files, so this does not happen.
    debug_assert!(document.is_some(), "{} has a descriptor", M::full_name());
    document.unwrap_or_default()
}

/// A time in RFC 3339, to the second; empty if it is absent.
#[must_use]
pub fn time(time: Option<&prost_types::Timestamp>) -> String {
    let time = time.and_then(|time| jiff::Timestamp::from_second(time.seconds).ok());
    time.map(|time| time.to_string()).unwrap_or_default()
}
