"""News as base series: what each bar learnt from headlines and economic releases."""
