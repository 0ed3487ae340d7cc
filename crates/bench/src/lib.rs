//! strongroom-bench
