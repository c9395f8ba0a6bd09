//! Lays environment variables over the main document: `LOGKEY__SERVER__LISTEN` is `server.listen`,
//! and `LOGKEY__AUTH__ISSUERS__0__AUDIENCES` is `audiences` of the first of `auth.issuers`.

use super::{
    env::Env,
    reader::Reader,
    tree::{Node, Source, Table, Value},
};

/// What the name of every setting's variable begins with.
pub const PREFIX: &str = "LOGKEY__";
/// What stands between the levels of a name.
const SEPARATOR: &str = "__";

/// Puts every variable in its place.
pub(super) fn apply_env(root: &mut Table, env: &dyn Env, reader: &Reader) {
    let mut variables: Vec<(Vec<String>, String, String)> = env
        .with_prefix(PREFIX)
        .into_iter()
        .map(|(name, value)| (path_segments(&name), name, value))
        .collect();
    // Shorter numbers first, so that the elements of a list come in their order.
    variables.sort_by_cached_key(|(steps, name, _)| {
        let ordered: Vec<_> = steps.iter().map(|step| (number(step), step.clone())).collect();
        (ordered, name.clone())
    });
    let mut last: Option<Vec<String>> = None;
    for (steps, name, value) in variables {
        let at = reader.variable(&name);
        if last.as_ref() == Some(&steps) {
            reader.diagnostic(at, "stands here twice, in different case: keep one of them");
        } else if let Err(reason) = put(root, &steps, value, at) {
            reader.diagnostic(at, reason);
        }
        last = Some(steps);
    }
}

fn path_segments(name: &str) -> Vec<String> {
    let rest = name.get(PREFIX.len()..).unwrap_or_default().to_ascii_lowercase();
    rest.split(SEPARATOR).map(ToOwned::to_owned).collect()
}

fn number(step: &str) -> Option<usize> {
    step.parse().ok()
}

fn put(table: &mut Table, steps: &[String], value: String, at: Source) -> Result<(), String> {
    let [first, rest @ ..] = steps else {
        return Err("names no setting: write for example LOGKEY__SERVER__LISTEN".to_owned());
    };
    if first.is_empty() {
        return Err(
            "names no setting: two underscores stand between levels, as in LOGKEY__SERVER__LISTEN".into()
        );
    }
    if rest.is_empty() {
        table.insert(first.as_str().into(), Node { name: at, origin: at, value: Value::Untyped(value) });
        return Ok(());
    }
    let node = table.entry(first.as_str().into()).or_insert_with(|| empty(rest, at));
    put_into(node, rest, value, at)
}

fn put_into(node: &mut Node, steps: &[String], value: String, at: Source) -> Result<(), String> {
    match (&mut node.value, steps) {
        (Value::Table(table), _) => put(table, steps, value, at),
        (Value::List(list), [index, rest @ ..]) => {
            let length = list.len();
            let Some(index) = number(index).filter(|index| *index <= length) else {
                return Err(format!(
                    "names no element of its list: write a number from 0 to {length}, where {length} adds one"
                ));
            };
            if index == length {
                list.push(empty(rest, at));
            }
            match (list.get_mut(index), rest) {
                (Some(element), []) => {
                    *element = Node { name: at, origin: at, value: Value::Untyped(value) };
                    Ok(())
                }
                (Some(element), rest) => put_into(element, rest, value, at),
                (None, _) => Ok(()),
            }
        }
        _ => Err("goes into a setting that has no parts".to_owned()),
    }
}

/// A list where a number comes next, and a table otherwise.
fn empty(rest: &[String], at: Source) -> Node {
    let listed = rest.first().is_some_and(|step| number(step).is_some());
    let value = if listed { Value::List(Vec::new()) } else { Value::Table(Table::new()) };
    Node { name: at, origin: at, value }
}
