//! Converts messages between JSON and Protobuf, by Protobuf's JSON mapping
//! (<https://protobuf.dev/programming-guides/json/>).

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::Status;

use super::protocol::Codec;

/// The longest part of a JSON error that a message contains, in characters.
const MAX_PROBLEM: usize = 200;

/// The message in Protobuf. A JSON field that the type does not have is an error: if it were ignored, a misspelled
/// precondition would not hold.
pub(super) fn to_proto(codec: Codec, of: &MessageDescriptor, message: Bytes) -> Result<Bytes, Status> {
    if codec == Codec::Proto {
        return Ok(message);
    }
    if message.is_empty() {
        return Err(Status::invalid_argument("the body is empty: send {} for a message without fields"));
    }
    let mut json = serde_json::Deserializer::from_slice(&message);
    let parsed =
        DynamicMessage::deserialize(of.clone(), &mut json).and_then(|parsed| json.end().map(|()| parsed));
    match parsed {
        Ok(parsed) => Ok(parsed.encode_to_vec().into()),
        Err(error) => {
            let problem: String = error.to_string().chars().take(MAX_PROBLEM).collect();
            Err(Status::invalid_argument(format!(
                "the message is not a {} in JSON: {problem}",
                of.full_name()
            )))
        }
    }
}

/// The message in the codec of the response.
pub(super) fn from_proto(codec: Codec, of: &MessageDescriptor, message: Bytes) -> Result<Bytes, Status> {
    if codec == Codec::Proto {
        return Ok(message);
    }
    let parsed = DynamicMessage::decode(of.clone(), message).ok();
    let json = parsed.and_then(|parsed| serde_json::to_vec(&parsed).ok());
    json.map(Bytes::from).ok_or_else(|| Status::internal("the response cannot be written as JSON"))
}
