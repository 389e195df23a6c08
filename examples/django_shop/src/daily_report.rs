//! The report of a day: the shops are the targets, each is summed up for itself, and the sums are gathered.

use batchd::handler::{Arg, Batch, Context, HandlerError, HandlerResult, Results, Target, TargetList, Value, blocking, json};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

pub(crate) struct DailyReport;

/// A target: in Django, a row of `Shop.objects`.
#[derive(Debug, Serialize, Deserialize)]
struct Shop {
    id: u32,
    city: String,
}

/// What `add_arguments` declared.
#[derive(Debug, Deserialize)]
struct Options {
    day: Date,
    currency: String,
    strict: bool,
}

impl Batch for DailyReport {
    fn args(&self) -> Vec<Arg> {
        vec![
            Arg::date("day").default("{{ nominal.date }}").help("the day to report"),
            Arg::choice("currency", ["KRW", "USD"]).default("KRW"),
            Arg::flag("strict").default(false).help("fail when a shop does"),
        ]
    }

    /// `targetDataList`: `shops.csv`, a line a shop.
    async fn plan(&self, context: Context, targets: TargetList) -> Result<(), HandlerError> {
        let list = blocking(|| std::fs::read_to_string("shops.csv")).await??;
        for line in list.lines().skip(1) {
            let (id, city) = line.split_once(',').ok_or_else(|| format!("`{line}` is no shop"))?;
            let shop = Shop { id: id.parse()?, city: city.to_owned() };
            targets.add(Target::table(shop.id, &shop)?).await?;
        }
        context.log("all shops are listed");
        Ok(())
    }

    /// `partialProcess`: the orders of one shop on the day, an amount a line.
    async fn partial(&self, context: Context) -> HandlerResult {
        let (shop, options): (Shop, Options) = (context.target_as()?, context.args_as()?);
        let path = format!("orders/{}/{}.txt", options.day, shop.id);
        context.progress(format!("reads {path}"));
        let orders = blocking(move || std::fs::read_to_string(path)).await??;
        let amounts: Result<Vec<u64>, _> = orders.lines().map(str::parse).collect();
        let sum: u64 = amounts?.iter().sum();
        context.log(format!("{}: {sum} {}", shop.city, options.currency));
        Ok(json!({ "city": shop.city, "sum": sum }))
    }

    /// `gather`: the sum of all shops, and those that have none.
    async fn finish(&self, context: Context, mut results: Results) -> HandlerResult {
        let options: Options = context.args_as()?;
        let (mut total, mut missing) = (0, Vec::new());
        while let Some(shop) = results.next().await? {
            if shop.is_success() {
                total += shop.result["sum"].as_u64().unwrap_or(0);
            } else {
                missing.push(shop.target["city"].clone());
            }
        }
        if options.strict && !missing.is_empty() {
            return Err(format!("no report of {}", Value::from(missing)).into());
        }
        Ok(json!({ "day": options.day, "currency": options.currency, "total": total, "missing": missing }))
    }
}
