//! A report as one HTML file that needs no network: style, script, data and the chart library are in it.
//!
//! Names come from outside. They are only in the JSON of one `script` element, where `<` is escaped, and the
//! script puts them into the page as text. A content security policy permits only the scripts of the file.

use serde_json::Value;
use uuid::Uuid;

use super::{model::ComplianceReport, table};

const TEMPLATE: &str = include_str!("html/report.html");
const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");
/// Chart.js 4.6.1, as its package has it. `tests/run report` compares them.
const CHARTS: &str = include_str!("html/chart.umd.min.js");
const CHARTS_LICENCE: &str = include_str!("html/chart.LICENSE.md");

/// The file.
pub(crate) fn html(report: &ComplianceReport) -> String {
    let nonce = Uuid::new_v4().simple().to_string();
    // A browser's developer tools would fetch the source map.
    let charts = CHARTS.split("//# sourceMappingURL").next().unwrap_or_default();
    let data = in_script(&table::document(report));
    let parts = [
        ("{{nonce}}", nonce.as_str()),
        ("{{style}}", STYLE),
        ("{{charts-licence}}", CHARTS_LICENCE),
        ("{{charts}}", charts),
        ("{{script}}", SCRIPT),
        ("{{data}}", &data),
    ];
    fill(TEMPLATE, &parts)
}

/// JSON that cannot end its `script` element or begin a comment in it:
/// <https://html.spec.whatwg.org/multipage/scripting.html#restrictions-for-contents-of-script-elements>.
fn in_script(data: &Value) -> String {
    data.to_string().replace('<', "\\u003c")
}

/// Replaces the names in the template in one pass, so that a name in the data is not replaced.
fn fill(template: &str, parts: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() + parts.iter().map(|it| it.1.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let named = parts.iter().find_map(|(name, value)| Some((value, after.strip_prefix(name.get(2..)?)?)));
        if let Some((value, after)) = named {
            filled.push_str(value);
            rest = after;
        } else {
            filled.push_str("{{");
            rest = after;
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests;
