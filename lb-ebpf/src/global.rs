//! Functions that the verifier checks once, whatever their arguments are, instead of once a call: global
//! functions, which take and return plain numbers.

macro_rules! global {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty $body:block)+) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $name($($argument: $type),*) -> $result {
                $($crate::raw::pass($argument.into());)*
                $body
            }
        )+
    };
}

pub(crate) use global;
