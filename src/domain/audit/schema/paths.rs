//! Where PostgreSQL finds the fields of an event in its JSON. This is a macro, because `concat!` takes only
//! literals; the tests compare it with the model.

/// The path of a field for the JSON operators of PostgreSQL. The table has columns for all other fields.
macro_rules! pg_json_path {
    (subject) => {
        "{actor,user,uid}"
    };
    (resource) => {
        "{resources,0,uid}"
    };
}

pub(crate) use pg_json_path;
