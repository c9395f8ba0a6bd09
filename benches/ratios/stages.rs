//! Where the instructions and allocations of a call go, by stage.
//!
//! A stage is a set of functions. What they call belongs to it too, unless it is another stage. A function that
//! several stages call is shared out by what the calls cost, as gprof does.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use crate::{callgraph::CallGraph, stage_names::STAGES};

/// How often shares are passed from callers to callees. The deepest chains of calls have some hundred functions.
const PASSES: usize = 300;
/// How many functions of each stage are listed.
const LISTED: usize = 12;

/// The stages of several rows.
#[derive(Default)]
pub(crate) struct StageTable {
    rows: Vec<RowStages>,
}

/// The stages of one row, per call.
struct RowStages {
    name: &'static str,
    stages: Vec<Cost>,
    /// The functions that cost most, by stage.
    functions: Vec<String>,
}

/// The cost of a stage.
#[derive(Clone, Copy, Default)]
struct Cost {
    instructions: f64,
    allocations: f64,
}

// === impl StageTable ===

impl StageTable {
    /// Adds a row, by its call graph. `calls` is how many calls it covers.
    pub(crate) fn add(&mut self, name: &'static str, graph: &CallGraph, calls: f64) {
        let shares = shares(graph);
        let mut stages = vec![Cost::default(); STAGES.len()];
        let mut functions: Vec<Vec<(f64, &str)>> = vec![Vec::new(); STAGES.len()];
        for (function, shares) in graph.functions.iter().zip(&shares) {
            for ((share, stage), functions) in shares.iter().zip(&mut stages).zip(&mut functions) {
                stage.instructions += share * function.own / calls;
                stage.allocations += share * function.allocations / calls;
                functions.push((share * function.own / calls, &function.name));
            }
        }
        let functions = functions.into_iter().zip(STAGES).flat_map(|(mut functions, stage)| {
            functions.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
            functions.truncate(LISTED);
            functions.into_iter().map(move |(cost, name)| format!("{}: {cost:.0} {name}", stage.name))
        });
        let functions = functions.collect();
        self.rows.push(RowStages { name, stages, functions });
    }
}

/// The share of each stage in each function.
fn shares(graph: &CallGraph) -> Vec<Vec<f64>> {
    let of_stage = |name: &str| STAGES.iter().position(|stage| stage.contains(name));
    let fixed: Vec<Option<usize>> = graph.functions.iter().map(|function| of_stage(&function.name)).collect();
    let whole = |stage: Option<usize>| {
        // What no stage calls, directly or not, is the last stage.
        let stage = stage.unwrap_or(STAGES.len() - 1);
        (0..STAGES.len()).map(|number| if number == stage { 1.0 } else { 0.0 }).collect()
    };
    let mut shares: Vec<Vec<f64>> = fixed.iter().map(|stage| whole(*stage)).collect();
    for _ in 0..PASSES {
        let next = graph.functions.iter().zip(&fixed).zip(&shares).map(|((function, fixed), old)| {
            let total: f64 = function.callers.iter().map(|caller| caller.cost).sum();
            if fixed.is_some() || total <= 0.0 {
                return old.clone();
            }
            let mut sum = vec![0.0; STAGES.len()];
            for caller in &function.callers {
                let of_caller = shares.get(caller.function).map_or(&[][..], Vec::as_slice);
                for (sum, share) in sum.iter_mut().zip(of_caller) {
                    *sum += share * caller.cost / total;
                }
            }
            sum
        });
        shares = next.collect();
    }
    shares
}

impl fmt::Display for StageTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(ASCII_MARKDOWN);
        let columns = self.rows.iter().flat_map(|row| [row.name, "share", "allocations"]);
        table.set_header(["stage"].into_iter().chain(columns));
        let sum = |row: &RowStages| {
            row.stages.iter().fold(Cost::default(), |sum, stage| Cost {
                instructions: sum.instructions + stage.instructions,
                allocations: sum.allocations + stage.allocations,
            })
        };
        let cells = |row: &RowStages, cost: Cost| {
            let share = 100.0 * cost.instructions / sum(row).instructions;
            [format!("{:.0}", cost.instructions), format!("{share:.1} %"), format!("{:.1}", cost.allocations)]
        };
        for (number, stage) in STAGES.iter().enumerate() {
            let costs = self
                .rows
                .iter()
                .flat_map(|row| cells(row, row.stages.get(number).copied().unwrap_or_default()));
            table.add_row([stage.name.to_owned()].into_iter().chain(costs));
        }
        let sums = self.rows.iter().flat_map(|row| cells(row, sum(row)));
        table.add_row(["sum".to_owned()].into_iter().chain(sums));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")?;
        for row in &self.rows {
            write!(
                f,
                "\n\n{}, the functions of each stage that cost most:\n{}",
                row.name,
                row.functions.join("\n")
            )?;
        }
        Ok(())
    }
}
