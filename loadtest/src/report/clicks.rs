//! Clicks on their way in and out, in tables.

use std::fmt;

use crate::clicks::{Disk, Pipeline};

pub(super) fn write(f: &mut fmt::Formatter<'_>, pipeline: &Pipeline) -> fmt::Result {
    let Pipeline { links, clicks_a_day, batch, days, disk, questions } = pipeline;
    writeln!(
        f,
        "\n## Clicks, {clicks_a_day} a day\n\n{links} links, the busiest with an eighth of all clicks \
         (Zipf), 200 referrers, 30 countries. Stored by Waypost's own code in batches of {batch}, one \
         after the other, over one connection; PostgreSQL writes its log to disk as usual. Adding up \
         happened after the day was stored, not meanwhile.\n\n\
         | day | clicks/s, median of batches | clicks/s, all batches | adding the day up, s \
         | attempts out of time | clicks/s, with adding up |\n|---|---:|---:|---:|---:|---:|"
    )?;
    for (number, day) in (1..).zip(days) {
        let clicks = f64::from(*clicks_a_day);
        writeln!(
            f,
            "| {number} | {:.0} | {:.0} | {:.2} | {} | {:.0} |",
            day.median_clicks_per_second,
            day.clicks_per_second,
            day.roll_up_seconds,
            day.roll_ups_failed,
            clicks / (clicks / day.clicks_per_second + day.roll_up_seconds),
        )?;
    }
    let Disk {
        visits,
        row_bytes_per_visit: rows,
        index_bytes_per_visit: indexes,
        sum_bytes_per_day,
    } = disk;
    writeln!(
        f,
        "\nOn disk, {visits} visits: {:.0} bytes a visit ({rows:.0} for its row, {indexes:.0} for \
         indexes); what a day adds up to takes {:.1} MiB.\n\n\
         Questions over HTTP, 200 times one after the other, with one day of clicks and with \
         {all}. The second ratio leaves out how busy the machine was: of how many times as long as \
         a request for the link alone, which is made in between, a question took at the \
         median.\n\n\
         | link, clicks | question | p50 ms, 1 day | p50 ms, {all} days | ratio \
         | ratio, beside the link alone | p99 ms, 1 day | p99 ms, {all} days |\n\
         |---|---|---:|---:|---:|---:|---:|---:|",
        rows + indexes,
        sum_bytes_per_day / (1_024.0 * 1_024.0),
        all = days.len(),
    )?;
    for question in questions {
        let (before, after) = (question.one_day, question.all_days);
        writeln!(
            f,
            "| {}, {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            question.link,
            question.clicks,
            question.asked,
            before.p50_milliseconds,
            after.p50_milliseconds,
            after.p50_milliseconds / before.p50_milliseconds,
            after.times_the_yardstick / before.times_the_yardstick,
            before.p99_milliseconds,
            after.p99_milliseconds,
        )?;
    }
    Ok(())
}
