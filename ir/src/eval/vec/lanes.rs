//! Loops over the lanes of a vector, one out-of-line kernel per lane function.
//!
//! The promise: a kernel reads and writes byte arrays in memory, never a `u128` in registers, so that LLVM turns its
//! loop into vector instructions; hence no kernel is inlined into its caller.

use crate::softfloat::fpsr;

/// A vector in memory, lane 0 first.
pub(super) type Bytes = [u8; 16];

/// A lane type.
pub(super) trait Elem: Copy {
    /// Lanes in a vector.
    const COUNT: usize;
    /// Lane `i`.
    fn get(v: &Bytes, i: usize) -> Self;
    /// Replaces lane `i`.
    fn put(v: &mut Bytes, i: usize, x: Self);
}

macro_rules! elems {
    ($($t:ty)*) => { $(
        impl Elem for $t {
            const COUNT: usize = 16 / size_of::<$t>();
            #[inline(always)]
            fn get(v: &Bytes, i: usize) -> $t {
                <$t>::from_le_bytes(v.as_chunks::<{ size_of::<$t>() }>().0[i])
            }
            #[inline(always)]
            fn put(v: &mut Bytes, i: usize, x: $t) {
                v.as_chunks_mut::<{ size_of::<$t>() }>().0[i] = x.to_le_bytes();
            }
        }
    )* };
}
elems!(u8 u16 u32 u64 i8 i16 i32 i64);

/// Runs `$body` with `$u` and `$s` standing for the unsigned and signed type of a lane.
macro_rules! by_lane {
    ($lane:expr, $u:ident, $s:ident => $body:expr) => {
        match $lane {
            $crate::ty::Lane::B => by_lane!(@ u8, i8, $u, $s, $body),
            $crate::ty::Lane::H => by_lane!(@ u16, i16, $u, $s, $body),
            $crate::ty::Lane::S => by_lane!(@ u32, i32, $u, $s, $body),
            $crate::ty::Lane::D => by_lane!(@ u64, i64, $u, $s, $body),
        }
    };
    (@ $ut:ty, $st:ty, $u:ident, $s:ident, $body:expr) => {{
        #[allow(dead_code, reason = "not every body needs both")]
        type $u = $ut;
        #[allow(dead_code, reason = "not every body needs both")]
        type $s = $st;
        $body
    }};
}

/// As `by_lane`, with `$wu` and `$ws` for the lane of twice the width; lane D, which has none, gives zero.
macro_rules! by_narrow_lane {
    ($lane:expr, $u:ident, $s:ident, $wu:ident, $ws:ident => $body:expr) => {
        match $lane {
            $crate::ty::Lane::B => by_lane!(@ u8, i8, $u, $s, by_lane!(@ u16, i16, $wu, $ws, $body)),
            $crate::ty::Lane::H => by_lane!(@ u16, i16, $u, $s, by_lane!(@ u32, i32, $wu, $ws, $body)),
            $crate::ty::Lane::S => by_lane!(@ u32, i32, $u, $s, by_lane!(@ u64, i64, $wu, $ws, $body)),
            $crate::ty::Lane::D => 0,
        }
    };
}

/// `f` of each lane; of the low ones only, where the result's lanes are wider.
#[inline(always)]
pub(super) fn map1<T: Elem, R: Elem>(a: u128, f: impl Fn(T) -> R) -> u128 {
    let mut r = [0; 16];
    kernel1(&a.to_le_bytes(), &mut r, f);
    u128::from_le_bytes(r)
}

#[inline(never)]
fn kernel1<T: Elem, R: Elem>(a: &Bytes, r: &mut Bytes, f: impl Fn(T) -> R) {
    for i in 0..T::COUNT.min(R::COUNT) {
        R::put(r, i, f(T::get(a, i)));
    }
}

/// `f` of each lane pair. Where the result's lanes are wider, only the low lanes count.
#[inline(always)]
pub(super) fn map2<T: Elem, R: Elem>(a: u128, b: u128, f: impl Fn(T, T) -> R) -> u128 {
    let mut r = [0; 16];
    kernel2(&a.to_le_bytes(), &b.to_le_bytes(), &mut r, f);
    u128::from_le_bytes(r)
}

#[inline(never)]
fn kernel2<T: Elem, R: Elem>(a: &Bytes, b: &Bytes, r: &mut Bytes, f: impl Fn(T, T) -> R) {
    for i in 0..T::COUNT.min(R::COUNT) {
        R::put(r, i, f(T::get(a, i), T::get(b, i)));
    }
}

/// `f` of each lane pair and whether it saturated; one that did sets QC.
#[inline(always)]
pub(super) fn sat2<T: Elem, R: Elem>(a: u128, b: u128, qc: &mut u32, f: impl Fn(T, T) -> (R, bool)) -> u128 {
    let mut r = [0; 16];
    if sat_kernel2(&a.to_le_bytes(), &b.to_le_bytes(), &mut r, f) {
        *qc |= fpsr::QC;
    }
    u128::from_le_bytes(r)
}

#[inline(never)]
fn sat_kernel2<T: Elem, R: Elem>(a: &Bytes, b: &Bytes, r: &mut Bytes, f: impl Fn(T, T) -> (R, bool)) -> bool {
    let mut any = false;
    for i in 0..T::COUNT.min(R::COUNT) {
        let (x, saturated) = f(T::get(a, i), T::get(b, i));
        R::put(r, i, x);
        any |= saturated;
    }
    any
}

/// `f` of each lane of `acc`, `a` and `b` and whether it saturated; one that did sets QC.
#[inline(always)]
pub(super) fn sat3<T: Elem>(acc: u128, (a, b): (u128, u128), qc: &mut u32, f: impl Fn(T, T, T) -> (T, bool)) -> u128 {
    let mut r = acc.to_le_bytes();
    if sat_kernel3(&mut r, &a.to_le_bytes(), &b.to_le_bytes(), f) {
        *qc |= fpsr::QC;
    }
    u128::from_le_bytes(r)
}

#[inline(never)]
fn sat_kernel3<T: Elem>(acc: &mut Bytes, a: &Bytes, b: &Bytes, f: impl Fn(T, T, T) -> (T, bool)) -> bool {
    let mut any = false;
    for i in 0..T::COUNT {
        let (x, saturated) = f(T::get(acc, i), T::get(a, i), T::get(b, i));
        T::put(acc, i, x);
        any |= saturated;
    }
    any
}

/// `f` of the adjacent pairs of `a`, then of those of `b`.
#[inline(always)]
pub(super) fn pairs<T: Elem>(a: u128, b: u128, f: impl Fn(T, T) -> T) -> u128 {
    let mut r = [0; 16];
    pairs_kernel(&a.to_le_bytes(), &b.to_le_bytes(), &mut r, f);
    u128::from_le_bytes(r)
}

#[inline(never)]
fn pairs_kernel<T: Elem>(a: &Bytes, b: &Bytes, r: &mut Bytes, f: impl Fn(T, T) -> T) {
    let half = T::COUNT / 2;
    for i in 0..half {
        T::put(r, i, f(T::get(a, 2 * i), T::get(a, 2 * i + 1)));
        T::put(r, half + i, f(T::get(b, 2 * i), T::get(b, 2 * i + 1)));
    }
}

/// `f` of the adjacent pairs of `a`, in lanes of twice the width.
#[inline(always)]
pub(super) fn pairs_widen<T: Elem, R: Elem>(a: u128, f: impl Fn(T, T) -> R) -> u128 {
    let mut r = [0; 16];
    pairs_widen_kernel(&a.to_le_bytes(), &mut r, f);
    u128::from_le_bytes(r)
}

#[inline(never)]
fn pairs_widen_kernel<T: Elem, R: Elem>(a: &Bytes, r: &mut Bytes, f: impl Fn(T, T) -> R) {
    for i in 0..R::COUNT.min(T::COUNT / 2) {
        R::put(r, i, f(T::get(a, 2 * i), T::get(a, 2 * i + 1)));
    }
}

/// Lane `i` of the result is lane `f(i)` of `b:a`, `a` being the low part.
#[inline(always)]
pub(super) fn pick<T: Elem>(a: u128, b: u128, f: impl Fn(usize) -> usize) -> u128 {
    let mut r = [0; 16];
    pick_kernel::<T>(&a.to_le_bytes(), &b.to_le_bytes(), &mut r, f);
    u128::from_le_bytes(r)
}

#[inline(never)]
fn pick_kernel<T: Elem>(a: &Bytes, b: &Bytes, r: &mut Bytes, f: impl Fn(usize) -> usize) {
    for i in 0..T::COUNT {
        let n = f(i);
        let from = if n < T::COUNT { a } else { b };
        T::put(r, i, T::get(from, n % T::COUNT));
    }
}

/// The lowest `count` lanes folded by `f`, starting from `init`.
#[inline(always)]
pub(super) fn fold<T: Elem, A>(a: u128, count: u32, init: A, f: impl Fn(A, T) -> A) -> A {
    let v = a.to_le_bytes();
    (0..T::COUNT.min(count as usize)).fold(init, |acc, i| f(acc, T::get(&v, i)))
}
