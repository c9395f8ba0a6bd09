//! Compiles `proto/` without an installed `protoc`, for clients only.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 6] = [
    "keyassociation/v1/audit_service.proto",
    "keyassociation/v1/bulk_association_service.proto",
    "keyassociation/v1/coverage_service.proto",
    "keyassociation/v1/encryption_rule_service.proto",
    "keyassociation/v1/key_association_service.proto",
    "keyassociation/v1/tenant_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../../proto");
    let descriptors = protox::compile(FILES, ["../../proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    // The descriptors for the JSON mapping.
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut prost = tonic_prost_build::Config::new();
    prost.enable_type_names();
    tonic_prost_build::configure().build_server(false).compile_fds_with_config(descriptors, prost)?;
    Ok(())
}
