//! Reads the resources of a job from a CSV file.

use std::{fs::File, io, path::Path};

use crate::{failure::Failure, verbs::target::log_group_arn};

/// The maximum of the service, as `Selection.resource_arns` documents it.
const MAX_ARNS: usize = 5_000;
/// The columns that can hold the ARNs, the preferred one first.
const COLUMNS: [&str; 3] = ["arn", "resource_arn", "resource"];

/// The ARNs of a file. `-` is standard input.
pub(super) fn read_arns(path: &Path) -> Result<Vec<String>, Failure> {
    let source: Box<dyn io::Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| Failure::file("read", path, &error))?)
    };
    parse(source).map_err(|cause| Failure::file("use", path, &cause))
}

fn parse(source: impl io::Read) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(source);
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let column = COLUMNS.iter().find_map(|name| header.iter().position(|it| it.eq_ignore_ascii_case(name)));
    let column = column.ok_or("the first line must name the columns, and one of them must be \"arn\"")?;
    let mut arns = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let arn = record.get(column).unwrap_or_default();
        if !arn.starts_with("arn:") {
            return Err(format!(
                "line {line}: \"{arn}\" is no ARN; expected arn:aws:logs:REGION:ACCOUNT:log-group:NAME"
            ));
        }
        arns.push(log_group_arn(arn).to_owned());
    }
    match arns.len() {
        0 => Err("it lists no ARN".to_owned()),
        count if count > MAX_ARNS => Err(format!(
            "it lists {count} ARNs, and a job takes at most {MAX_ARNS}: split the file, or use patterns"
        )),
        _ => Ok(arns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_list_is_an_input() {
        let arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/a";
        // The second one is as `DescribeLogGroups` writes it.
        for text in [format!("resource,kms_key_arn,arn\n/a,,{arn}\n"), format!("arn\n{arn}:*\n")] {
            assert_eq!(parse(text.as_bytes()), Ok(vec![arn.to_owned()]));
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = parse("ARN\narn:aws:logs:a:b:log-group:/a\n/b\n".as_bytes()).unwrap_err();
        assert!(error.starts_with("line 3: \"/b\" is no ARN"), "{error}");
        assert!(parse("name\n/a\n".as_bytes()).unwrap_err().contains("\"arn\""));
        assert_eq!(parse("arn\n".as_bytes()), Err("it lists no ARN".to_owned()));
        let many = "arn\n".to_owned() + &"arn:x\n".repeat(MAX_ARNS + 1);
        assert!(parse(many.as_bytes()).unwrap_err().contains("at most 5000"));
    }
}
