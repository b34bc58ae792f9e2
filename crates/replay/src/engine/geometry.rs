//! From a trace's description of an allocator to a geometry.

use pool::Geometry;
use trace::{Allocator, EmptyArenas};

use super::EngineError;

/// The geometry that a trace's header describes.
///
/// # Errors
/// If no allocator can be built that way.
pub(super) fn geometry(allocator: &Allocator) -> Result<Geometry, EngineError> {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Geometry::new(
        size(allocator.alignment.into()),
        size(allocator.small_limit.into()),
        size(allocator.pool_size.into()),
        size(allocator.arena_size),
        match allocator.empty_arenas {
            EmptyArenas::Return => pool::EmptyArenas::Return,
            EmptyArenas::KeepLast => pool::EmptyArenas::KeepLast,
            EmptyArenas::Keep => pool::EmptyArenas::Keep,
        },
    )
    .map_err(EngineError::Allocator)
}
