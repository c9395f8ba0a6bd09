//! Compiles `proto/` without an installed `protoc`, and embeds its files.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use prost::Message as _;

/// The folder with the files that clients are generated from.
const ROOT: &str = "proto";
/// The folder with the standard health service.
const HEALTH: &str = "src/server/health";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let files = files(&Path::new(ROOT).join("keyassociation/v1"))?;
    let descriptors = protox::compile(&files, [ROOT])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("sources.rs"), sources(&files))?;
    // The descriptors for server reflection; they keep the comments.
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;

    println!("cargo::rerun-if-changed={HEALTH}");
    let health = protox::compile(["grpc/health/v1/health.proto"], [HEALTH])?;
    fs::write(out.join("health_descriptors.bin"), health.encode_to_vec())?;
    tonic_prost_build::configure().build_client(false).compile_fds(health)?;
    Ok(())
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = paths.collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// An array with the name of each file below `proto/`, and its text.
fn sources(files: &[PathBuf]) -> String {
    let settings = ["buf.yaml", "buf.gen.yaml"].map(|name| Path::new(ROOT).join(name));
    let entries = files.iter().chain(&settings).filter_map(|file| {
        let (name, file) = (file.strip_prefix(ROOT).ok()?.display(), file.display());
        Some(format!(
            "({:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{file}\"))),\n",
            name.to_string()
        ))
    });
    format!("&[\n{}]", entries.collect::<String>())
}
