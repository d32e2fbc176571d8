//! The rules that a session adds to DataFusion's: one that changes meaning, one that changes speed.

mod spark_casts;
mod split_once;

pub use spark_casts::SparkCasts;
pub use split_once::SplitOnce;
