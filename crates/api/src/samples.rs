//! One sample of every variant of an enum, for tests that hold whole tables against what was agreed.

/// The samples, each with the pattern of its variant. A variant without a sample does not compile, and
/// no variant has two.
macro_rules! named_samples {
    ($enum:ty { $($pattern:pat => $sample:expr),+ $(,)? }) => {{
        let name = |sample: &$enum| match sample {
            $($pattern => stringify!($pattern),)+
        };
        let samples: Vec<$enum> = vec![$($sample),+];
        let mut names: Vec<&str> = samples.iter().map(name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), samples.len(), "a sample of another variant");
        samples.into_iter().map(|it| (name(&it), it)).collect::<Vec<_>>()
    }};
}
pub(crate) use named_samples;

/// The samples alone.
macro_rules! samples {
    ($($all:tt)+) => {{
        let samples = $crate::samples::named_samples!($($all)+).into_iter();
        samples.map(|(_, sample)| sample).collect::<Vec<_>>()
    }};
}
pub(crate) use samples;
