"""Data frames: grouping, joining, reshaping, writing and reading CSV."""
import io
import sys

import pandas

for turn in range(int(sys.argv[1])):
    frame = pandas.DataFrame(
        {
            "city": ["city %d" % (n % 17) for n in range(2000)],
            "day": pandas.date_range("2020-01-01", periods=2000),
            "sales": [n * 1.5 % 97 for n in range(2000)],
        }
    )
    grouped = frame.groupby("city")["sales"].agg(["mean", "max", "count"])
    joined = frame.merge(grouped, left_on="city", right_index=True)
    text = joined.to_csv(index=False)
    again = pandas.read_csv(io.StringIO(text), parse_dates=["day"])
    table = again.pivot_table(index=again["day"].dt.month, columns="city", values="sales", aggfunc="sum")
    words = again["city"].str.upper().str.replace("CITY", "town").value_counts()
    by_row = frame.head(200).apply(lambda row: len(row["city"]) + row["sales"], axis=1)
    print(table.shape, int(words.sum()), round(float(by_row.sum())), len(frame.head(50).to_string()))
