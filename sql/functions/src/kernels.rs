//! Which implementation of the functions a session uses.

/// Two implementations with the same results; tests and benches compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kernels {
    /// Patterns that are recognised run on byte-level kernels without a regex or a date parser.
    #[default]
    Fast,
    /// Every pattern runs on the general engine.
    General,
}

impl Kernels {
    /// `shape` if fast kernels may be used.
    pub(crate) fn allow<T>(self, shape: Option<T>) -> Option<T> {
        match self {
            Kernels::Fast => shape,
            Kernels::General => None,
        }
    }
}
