//! Stores equal values of many tenants once: issuers and lists of Regions. `tenants` uses it.

use std::{cell::RefCell, collections::HashSet, sync::Arc};

use crate::domain::aws::Region;

/// The values so far.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: RefCell<HashSet<Arc<str>>>,
    regions: RefCell<HashSet<Arc<[Region]>>>,
}

// === impl Interner ===

impl Interner {
    pub(super) fn text(&self, text: String) -> Arc<str> {
        let mut texts = self.texts.borrow_mut();
        if let Some(existing) = texts.get(text.as_str()) {
            return Arc::clone(existing);
        }
        let text: Arc<str> = text.into();
        texts.insert(Arc::clone(&text));
        text
    }

    pub(super) fn regions(&self, regions: Vec<Region>) -> Arc<[Region]> {
        let mut lists = self.regions.borrow_mut();
        if let Some(existing) = lists.get(regions.as_slice()) {
            return Arc::clone(existing);
        }
        let list: Arc<[Region]> = regions.into();
        lists.insert(Arc::clone(&list));
        list
    }
}
