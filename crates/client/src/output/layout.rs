//! Lays out columns and sentences so that their lines fit the terminal. A line breaks only between words, so that ids
//! can be copied, unless a word is longer than the terminal is wide.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use unicode_width::UnicodeWidthStr as _;

/// How many spaces follow a column.
pub(super) const SPACES: usize = 2;

/// A column, in terminal columns without the spaces after it.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    /// Its longest word.
    min: usize,
    /// Its longest line.
    natural: usize,
    /// Its share of the terminal.
    width: usize,
}

/// Escapes characters that a terminal could execute as a command.
#[must_use]
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, it| {
        if it.is_control() {
            escaped.extend(it.escape_unicode());
        } else {
            escaped.push(it);
        }
        escaped
    })
}

/// How many columns of a terminal a text takes.
pub(super) fn width_of(text: &str) -> usize {
    text.width()
}

/// The lines of these rows. `None`: the columns have no room in a terminal of this width.
pub(super) fn columns(rows: &[Vec<String>], width: Option<u16>) -> Option<String> {
    let mut extents = extents(rows);
    share(&mut extents, width.map(usize::from))?;
    Some(lines(rows, &extents))
}

/// A sentence, broken between words. Each line keeps its indent, if there is room for it.
pub(super) fn wrap(text: &str, width: Option<u16>) -> String {
    let Some(width) = width.map(usize::from) else { return text.to_owned() };
    text.lines().map(|line| wrap_line(line, width)).collect::<Vec<_>>().join("\n")
}

/// A text behind its name. Its lines begin at this column. `None`: its words have no room there.
pub(super) fn behind(name: &str, text: &str, column: usize, width: Option<u16>) -> Option<String> {
    let text = match width.map(usize::from) {
        None => text.to_owned(),
        Some(width) => {
            let room = width.checked_sub(column).filter(|room| longest_word(text) <= *room)?;
            wrap_line(text, room).replace('\n', &format!("\n{:column$}", ""))
        }
    };
    Some(format!("{name:column$}{text}").trim_end().to_owned())
}

fn wrap_line(line: &str, width: usize) -> String {
    if width_of(line) <= width {
        return line.to_owned();
    }
    let content = line.trim_start();
    let indent = line.len() - content.len();
    let longest = longest_word(content);
    let indent = if indent + longest <= width { indent } else { 0 };
    let extent = Extent { min: longest, natural: width_of(content), width: width - indent };
    let indent = " ".repeat(indent);
    let wrapped = lines(&[vec![content.to_owned()]], &[extent]);
    wrapped.lines().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}

fn extents(rows: &[Vec<String>]) -> Vec<Extent> {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let mut extents = vec![Extent::default(); count];
    for row in rows {
        for (extent, cell) in extents.iter_mut().zip(row) {
            extent.min = extent.min.max(longest_word(cell));
            extent.natural = extent.natural.max(width_of(cell));
        }
    }
    extents
}

fn longest_word(text: &str) -> usize {
    text.split(' ').map(width_of).max().unwrap_or_default()
}

/// Shares the terminal among the columns: first each has room for its longest word, then those that lack least are
/// filled. `None`: there is no room for the longest words.
fn share(extents: &mut [Extent], width: Option<usize>) -> Option<()> {
    let Some(width) = width else {
        for extent in extents {
            extent.width = extent.natural;
        }
        return Some(());
    };
    let spaces = SPACES * extents.len().saturating_sub(1);
    let mut spare = width.checked_sub(extents.iter().map(|it| it.min).sum::<usize>() + spaces)?;
    let mut unfilled = extents.len();
    let mut order: Vec<&mut Extent> = extents.iter_mut().collect();
    order.sort_by_key(|it| it.natural - it.min);
    for extent in order {
        let more = (extent.natural - extent.min).min(spare / unfilled);
        extent.width = extent.min + more;
        (spare, unfilled) = (spare - more, unfilled - 1);
    }
    Some(())
}

fn lines(rows: &[Vec<String>], extents: &[Extent]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.add_rows(rows);
    let mut total = 0_u16;
    for (column, extent) in table.column_iter_mut().zip(extents) {
        let width = u16::try_from(extent.width.max(1) + SPACES).unwrap_or(u16::MAX);
        column.set_padding((0, 2)).set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        total = total.saturating_add(width);
    }
    table.set_width(total);
    // The spaces after the last column are cut off.
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
