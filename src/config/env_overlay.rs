//! Overrides the main document with environment variables: `LOGKEY__SERVER__LISTEN` is `server.listen`, and
//! `LOGKEY__AUTH__ISSUERS__0__AUDIENCES` is `audiences` of the first of `auth.issuers`.

use super::{
    env::Env,
    reader::Reader,
    tree::{Node, Source, Table, Value},
};

/// The prefix of the variable of each setting.
pub const PREFIX: &str = "LOGKEY__";
/// The separator between the levels of a name.
const SEPARATOR: &str = "__";

/// A variable, with the path of the setting that it names.
struct Variable {
    steps: Vec<String>,
    name: String,
    value: String,
}

/// Writes the value of every variable into `root`, and reports variables that name no setting.
pub(super) fn apply_env(root: &mut Table, env: &dyn Env, reader: &Reader) {
    let mut variables: Vec<Variable> = env
        .with_prefix(PREFIX)
        .into_iter()
        .map(|(name, value)| Variable { steps: path_segments(&name), name, value })
        .collect();
    // Indexes in numeric order, so that a list grows by one element at a time.
    variables.sort_by_cached_key(|variable| {
        let ordered: Vec<_> = variable.steps.iter().map(|step| (index(step), step.clone())).collect();
        (ordered, variable.name.clone())
    });
    let mut last: Option<Vec<String>> = None;
    for Variable { steps, name, value } in variables {
        let source = reader.variable(&name);
        if last.as_ref() == Some(&steps) {
            reader.report(source, "is set twice, in different case: keep one of them");
        } else if let Err(reason) = put(root, &steps, value, source) {
            reader.report(source, reason);
        }
        last = Some(steps);
    }
}

fn path_segments(name: &str) -> Vec<String> {
    let rest = name.get(PREFIX.len()..).unwrap_or_default().to_ascii_lowercase();
    rest.split(SEPARATOR).map(ToOwned::to_owned).collect()
}

fn index(step: &str) -> Option<usize> {
    step.parse().ok()
}

fn put(table: &mut Table, steps: &[String], value: String, source: Source) -> Result<(), String> {
    let [first, rest @ ..] = steps else {
        return Err("names no setting: write for example LOGKEY__SERVER__LISTEN".to_owned());
    };
    if first.is_empty() {
        return Err(
            "names no setting: write two underscores between levels, as in LOGKEY__SERVER__LISTEN".into()
        );
    }
    if rest.is_empty() {
        table.insert(
            first.as_str().into(),
            Node { name: source, origin: source, value: Value::Untyped(value) },
        );
        return Ok(());
    }
    let node = table.entry(first.as_str().into()).or_insert_with(|| empty(rest, source));
    put_into(node, rest, value, source)
}

fn put_into(node: &mut Node, steps: &[String], value: String, source: Source) -> Result<(), String> {
    match (&mut node.value, steps) {
        (Value::Table(table), _) => put(table, steps, value, source),
        (Value::List(list), [index, rest @ ..]) => {
            let length = list.len();
            let Some(index) = self::index(index).filter(|index| *index <= length) else {
                return Err(format!(
                    "names no element of its list: write a number from 0 to {length}; {length} adds an element"
                ));
            };
            if index == length {
                list.push(empty(rest, source));
            }
            match (list.get_mut(index), rest) {
                (Some(element), []) => {
                    *element = Node { name: source, origin: source, value: Value::Untyped(value) };
                    Ok(())
                }
                (Some(element), rest) => put_into(element, rest, value, source),
                (None, _) => Ok(()),
            }
        }
        _ => Err("names a part of a setting that has no parts: remove the last level of the name".to_owned()),
    }
}

/// An empty list if the next level is a number, and otherwise an empty table.
fn empty(rest: &[String], source: Source) -> Node {
    let is_list = rest.first().is_some_and(|step| index(step).is_some());
    let value = if is_list { Value::List(Vec::new()) } else { Value::Table(Table::new()) };
    Node { name: source, origin: source, value }
}
