//! The imports of the sources: which file uses which, and that there are no import cycles.

#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};
use syn::{Attribute, ItemFn, ItemImpl, ItemMod, ItemUse, UseTree, visit::Visit};

use crate::layering::rust_files;

/// A module path within one crate, such as `["service", "changes", "pipeline"]`.
type Module = Vec<String>;

/// Every path that a file names from `crate`, `self` or `super`, tests left out.
struct Imports {
    paths: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_impl(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            collect(&item.tree, &mut Vec::new(), &mut self.paths);
        }
    }

    // The path of `pub(in path)` is no import.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        is_cfg && attribute.parse_args::<syn::Path>().is_ok_and(|it| it.is_ident("test"))
    })
}

fn collect(tree: &UseTree, before: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
    match tree {
        UseTree::Path(path) => {
            let mut before = with(&path.ident);
            collect(&path.tree, &mut before, paths);
        }
        UseTree::Name(name) => paths.push(with(&name.ident)),
        UseTree::Rename(name) => paths.push(with(&name.ident)),
        UseTree::Glob(_) => paths.push(before.clone()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, before, paths)),
    }
}

/// The modules of a crate by their files, without tests and fakes.
fn modules(src: &Path) -> BTreeMap<Module, PathBuf> {
    let module = |file: &Path| {
        let path = file.strip_prefix(src).unwrap().with_extension("");
        path.iter().map(|part| part.to_str().unwrap().to_owned()).collect::<Module>()
    };
    let files = rust_files(src).into_iter().map(|file| (module(&file), file));
    files.filter(|(module, _)| !module.iter().any(|part| part == "tests" || part == "testing")).collect()
}

/// The modules that a module imports: for each path, the deepest module that it names.
fn imported(module: &Module, file: &Path, modules: &BTreeMap<Module, PathBuf>) -> BTreeSet<Module> {
    let mut imports = Imports { paths: Vec::new() };
    imports.visit_file(&syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap());
    let resolve = |path: Vec<String>| {
        let supers = path.iter().take_while(|name| *name == "super").count();
        let (mut found, rest) = match path.first().map(String::as_str) {
            Some("crate") => (Module::new(), &path[1..]),
            Some("self") => (module.clone(), &path[1..]),
            Some("super") => (module[..module.len() - supers].to_vec(), &path[supers..]),
            Some(name) if modules.contains_key(&[&module[..], &[name.to_owned()]].concat()) => {
                (module.clone(), &path[..])
            }
            _ => return None,
        };
        for name in rest {
            let deeper = [&found[..], std::slice::from_ref(name)].concat();
            if !modules.contains_key(&deeper) {
                break;
            }
            found = deeper;
        }
        (found != *module && modules.contains_key(&found)).then_some(found)
    };
    imports.paths.into_iter().filter_map(resolve).collect()
}

/// The import cycles of a crate, each as the names of its modules.
fn cycles(src: &Path) -> Vec<Vec<String>> {
    let modules = modules(src);
    let names: Vec<&Module> = modules.keys().collect();
    let number = |module: &Module| names.binary_search(&module).unwrap();
    let mut graph = DiGraphMap::<usize, ()>::new();
    for (module, file) in &modules {
        for to in imported(module, file, &modules) {
            graph.add_edge(number(module), number(&to), ());
        }
    }
    let components = tarjan_scc(&graph).into_iter().filter(|component| component.len() > 1);
    components.map(|component| component.into_iter().map(|at| names[at].join("::")).collect()).collect()
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = fs::read_dir(root.join("crates")).into_iter().flatten();
    let sources = crates.map(|entry| entry.unwrap().path().join("src")).chain([root.join("src")]);
    let cycles: Vec<_> = sources.flat_map(|src| cycles(&src)).collect();
    assert_eq!(cycles, Vec::<Vec<String>>::new());
}

#[test]
fn an_import_cycle_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("lib.rs", "mod a; mod b; mod c;");
    write("a.rs", "use crate::{b::B, c};");
    write("b.rs", "pub(in crate::a) struct B(super::c::C);");
    write("c.rs", "pub struct C; #[cfg(test)] mod tests { use crate::a::A; }");
    assert_eq!(cycles(folder.path()), Vec::<Vec<String>>::new());
    write("c.rs", "pub struct C; fn c() { crate::a::a(); }");
    let mut found = cycles(folder.path());
    for cycle in &mut found {
        cycle.sort_unstable();
    }
    assert_eq!(found, [["a", "b", "c"]]);
}
