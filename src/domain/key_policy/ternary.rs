//! Logic with three values, for facts that this service may not know.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ternary {
    Yes,
    No,
    Unknown,
}

// === impl Ternary ===

impl Ternary {
    pub(super) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Unknown if other() == Self::No => Self::No,
            Self::Unknown => Self::Unknown,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::No, Self::No) => Self::No,
        }
    }

    pub(super) fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    /// The common value, or `Unknown` if the values differ or there are none.
    pub(super) fn consensus(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().reduce(|a, b| if a == b { a } else { Self::Unknown }).unwrap_or(Self::Unknown)
    }

    /// `Yes` if any value is `Yes`, `Unknown` if any is unknown, otherwise `No`.
    pub(super) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::No, Self::or)
    }
}

impl From<bool> for Ternary {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}
