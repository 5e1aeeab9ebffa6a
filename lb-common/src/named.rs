//! Lists of names with meanings, which counters, logs, the API and docs share.

/// Defines an enum of variants with a name each, and `ALL`, `as_str` and `meaning` for it.
#[macro_export]
macro_rules! named {
    ($(#[$attribute:meta])* $visibility:vis enum $list:ident {
        $($(#[doc = $meaning:literal])+ $variant:ident = $name:literal,)+
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visibility enum $list {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl $list {
            $visibility const ALL: &[Self] = &[$(Self::$variant,)+];

            #[must_use]
            $visibility const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns its meaning, in one sentence.
            #[must_use]
            $visibility const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+ }
            }
        }
    };
}
