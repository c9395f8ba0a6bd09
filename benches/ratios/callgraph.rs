//! The call graph that callgrind writes: what each function costs, and who calls it.

use std::collections::HashMap;

use crate::Outcome;

/// The functions that allocate memory.
const ALLOCATORS: [&str; 10] = [
    "malloc",
    "calloc",
    "realloc",
    "aligned_alloc",
    "posix_memalign",
    "_rjem_malloc",
    "_rjem_calloc",
    "_rjem_realloc",
    "_rjem_mallocx",
    "_rjem_rallocx",
];

/// The functions of one or more threads.
#[derive(Default)]
pub(crate) struct CallGraph {
    pub(crate) functions: Vec<Function>,
    index: HashMap<String, usize>,
}

/// One function, with inlined ones as parts of it.
#[derive(Default)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Instructions of the function itself.
    pub(crate) own: f64,
    /// The memory that the function itself allocates, in calls of the allocator.
    pub(crate) allocations: f64,
    /// The functions that call this one.
    pub(crate) callers: Vec<Caller>,
}

/// The calls of a function from one caller.
pub(crate) struct Caller {
    /// The position of the caller in the list of functions.
    pub(crate) function: usize,
    /// Instructions of the calls, with everything that they call.
    pub(crate) cost: f64,
}

/// The calls that the next line of a file gives the cost of.
struct Calls {
    callee: usize,
    count: f64,
}

// === impl CallGraph ===

impl CallGraph {
    /// Reads the files of all threads.
    pub(crate) fn read(threads: &[String]) -> Outcome<Self> {
        let mut graph = Self::default();
        for (number, thread) in threads.iter().enumerate() {
            graph.add(thread, &format!("{number} "))?;
        }
        Ok(graph)
    }

    /// All instructions.
    pub(crate) fn total(&self) -> f64 {
        self.functions.iter().map(|function| function.own).sum()
    }

    /// Adds the functions of one file without compressed names. `thread` distinguishes them from those of
    /// other threads.
    fn add(&mut self, text: &str, thread: &str) -> Outcome<()> {
        let (mut current, mut callee, mut calls) = (None, None, None);
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                current = Some(self.position(thread, name));
            } else if let Some(name) = line.strip_prefix("cfn=") {
                callee = Some(self.position(thread, name));
            } else if let Some(numbers) = line.strip_prefix("calls=") {
                let count = numbers.split(' ').next().unwrap_or_default().parse()?;
                calls = callee.take().map(|callee| Calls { callee, count });
            } else if line.starts_with(|first: char| first.is_ascii_digit() || first == '+' || first == '-') {
                let cost = line.split(' ').nth(1).map_or(Ok(0.0), str::parse)?;
                if let Some(current) = current {
                    self.cost(current, calls.take().as_ref(), cost);
                }
            }
        }
        Ok(())
    }

    /// The position of a function in the list.
    fn position(&mut self, thread: &str, name: &str) -> usize {
        // A recursive function has one name for each depth.
        let name = name.split_once('\'').map_or(name, |(name, _depth)| name);
        let name = format!("{thread}{name}");
        *self.index.entry(name).or_insert_with_key(|name| {
            self.functions.push(Function { name: name.clone(), ..Function::default() });
            self.functions.len() - 1
        })
    }

    fn cost(&mut self, current: usize, calls: Option<&Calls>, cost: f64) {
        let Some(&Calls { callee, count }) = calls else {
            if let Some(function) = self.functions.get_mut(current) {
                function.own += cost;
            }
            return;
        };
        let allocates = |function: Option<&Function>| {
            function.is_some_and(|it| ALLOCATORS.iter().any(|name| it.name.ends_with(&format!(" {name}"))))
        };
        let is_allocation = allocates(self.functions.get(callee)) && !allocates(self.functions.get(current));
        if let Some(function) = self.functions.get_mut(current).filter(|_| is_allocation) {
            function.allocations += count;
        }
        if let Some(function) = self.functions.get_mut(callee).filter(|_| callee != current) {
            match function.callers.iter_mut().find(|caller| caller.function == current) {
                Some(caller) => caller.cost += cost,
                None => function.callers.push(Caller { function: current, cost }),
            }
        }
    }
}
