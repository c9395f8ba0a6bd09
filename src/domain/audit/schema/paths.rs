//! Where SQL finds the fields of an event in its JSON. These are macros, because `concat!` takes only
//! literals; the tests compare them with the model.

/// The path of a field for the JSON functions of SQLite.
macro_rules! json_path {
    (id) => {
        "$.metadata.uid"
    };
    (tenant) => {
        "$.metadata.tenant_uid"
    };
    (correlation) => {
        "$.metadata.correlation_uid"
    };
    (kind) => {
        "$.metadata.event_code"
    };
    (operation) => {
        "$.api.operation"
    };
    (subject) => {
        "$.actor.user.uid"
    };
    (resource) => {
        "$.resources[0].uid"
    };
    (status_id) => {
        "$.status_id"
    };
    (status_code) => {
        "$.status_code"
    };
    (time) => {
        "$.time"
    };
    (time_us) => {
        "$.unmapped.logkey.time_us"
    };
    (closes) => {
        "$.unmapped.logkey.closes"
    };
}

/// The path of a field for the JSON operators of PostgreSQL. The table has columns for all other fields.
macro_rules! pg_json_path {
    (subject) => {
        "{actor,user,uid}"
    };
    (resource) => {
        "{resources,0,uid}"
    };
}

pub(crate) use {json_path, pg_json_path};
