//! `docs/cli.schema.json`: the schema of the JSON documents, as far as they are messages of the API.

use std::{collections::BTreeMap, fs, path::PathBuf};

use boon::{Compiler, Schemas};
use logkey::proto::DESCRIPTORS;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// A name for the schema, which no one fetches.
const URL: &str = "https://logkey.test/cli.schema.json";

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/cli.schema.json")
}

fn read() -> Value {
    serde_json::from_str(&fs::read_to_string(path()).unwrap()).unwrap()
}

/// Checks a document against one definition of the schema.
pub(super) fn check(document: &Value, definition: &str) {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource(URL, read()).unwrap();
    let index = compiler.compile(&format!("{URL}#/$defs/{definition}"), &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("{definition}: {error}\n{document:#}");
    }
}

/// The definition of each command in the table of `docs/cli.md`.
pub(super) fn documented() -> BTreeMap<String, String> {
    let page = fs::read_to_string(path().with_file_name("cli.md")).unwrap();
    let table = page.split_once("| command | document |\n").unwrap().1.split_once("\n\n").unwrap().0;
    let rows = table.lines().skip(1).map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let commands = rows.flat_map(|row| {
        let [_, commands, definition, ..] = &row[..] else { panic!("a row of the table: {row:?}") };
        let definition = definition.split('`').nth(1).unwrap().to_owned();
        let commands = commands.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        commands.into_iter().map(move |command| (command, definition.clone()))
    });
    commands.collect()
}

fn definition(message: &MessageDescriptor) -> Value {
    let fields = || message.fields();
    let properties: Map<_, _> = fields().map(|it| (it.json_name().to_owned(), field(&it))).collect();
    let required: Vec<_> =
        fields().filter(|it| !it.supports_presence()).map(|it| it.json_name().to_owned()).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn field(field: &FieldDescriptor) -> Value {
    let one = match field.kind() {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Double | Kind::Float => json!({ "type": "number" }),
        Kind::String | Kind::Bytes => json!({ "type": "string" }),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
            json!({ "type": "string", "pattern": "^-?[0-9]+$" })
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => {
            json!({ "type": "integer" })
        }
        Kind::Enum(names) => {
            json!({ "enum": names.values().map(|it| it.name().to_owned()).collect::<Vec<_>>() })
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
            "google.protobuf.Duration" => json!({ "type": "string", "pattern": "^-?[0-9.]+s$" }),
            _ => json!({ "$ref": format!("#/$defs/{}", message.name()) }),
        },
    };
    if field.is_list() { json!({ "type": "array", "items": one }) } else { one }
}

/// Run the test with `UPDATE_SCHEMA=1` to write the file again after a change of `proto/`.
#[test]
fn the_schema_has_every_message_of_the_api() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let messages = pool.all_messages().filter(|it| it.package_name() == "keyassociation.v1");
    let answers = messages.filter(|it| !it.name().ends_with("Request"));
    let generated: Map<_, _> = answers.map(|it| (it.name().to_owned(), definition(&it))).collect();
    let mut schema = read();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        schema["$defs"].as_object_mut().unwrap().extend(generated.clone());
        fs::write(path(), serde_json::to_string_pretty(&schema).unwrap() + "\n").unwrap();
    }
    for (name, definition) in generated {
        assert_eq!(schema["$defs"][&name], definition, "{name}: write the schema again with UPDATE_SCHEMA=1");
    }
}
