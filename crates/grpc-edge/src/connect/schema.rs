//! The methods that are served, by their paths.

use std::{collections::HashMap, sync::Arc};

use prost_reflect::{DescriptorPool, MethodDescriptor};

/// The methods by their paths, and the types of all messages.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) pool: DescriptorPool,
    methods: Arc<HashMap<Box<str>, MethodDescriptor>>,
}

// === impl Schema ===

impl Schema {
    pub(super) fn new(pool: DescriptorPool) -> Self {
        let mut methods = HashMap::new();
        for service in pool.services() {
            for method in service.methods() {
                methods.insert(format!("/{}/{}", service.full_name(), method.name()).into(), method);
            }
        }
        Self { pool, methods: Arc::new(methods) }
    }

    pub(super) fn method(&self, path: &str) -> Option<&MethodDescriptor> {
        self.methods.get(path)
    }
}
