//! The fields of an event as SQL expressions.

/// A field of the event's bytes. The statement has to check `json_valid(body)` before.
macro_rules! body {
    ($field:ident) => {
        concat!("body ->> '", $crate::domain::audit::schema::json_path!($field), "'")
    };
}
pub(super) use body;
