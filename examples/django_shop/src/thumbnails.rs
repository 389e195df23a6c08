//! Pictures made small: work that keeps a thread busy, so each has one of its own.

use batchd::handler::{Context, HandlerResult, json};

/// One picture. Nothing can stop a thread, so it asks now and then whether it is to go on.
pub(crate) fn thumbnail(context: &Context) -> HandlerResult {
    let (path, width) = (context.target_text()?, context.arg::<usize>("width")?);
    let picture = std::fs::read(path)?;
    let mut small = Vec::with_capacity(width);
    for piece in picture.chunks(picture.len().div_ceil(width).max(1)) {
        context.check_cancelled()?;
        small.push(piece[0]);
    }
    std::fs::write(format!("{path}.small"), &small)?;
    Ok(json!({ "bytes": small.len() }))
}
