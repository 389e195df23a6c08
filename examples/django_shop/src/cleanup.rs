//! The simplest handler is a function.

use batchd::handler::{Context, HandlerResult, json};

pub(crate) async fn cleanup(context: Context) -> HandlerResult {
    let before = context.nominal_zoned().date();
    context.warn(format!("nothing from before {before} is thrown away yet"));
    Ok(json!(null))
}
