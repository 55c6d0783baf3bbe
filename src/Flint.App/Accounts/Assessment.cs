namespace Flint.App.Accounts;

/// <summary>
/// Whether a demand may pass, by the limits of all its owners and what they have used and set aside. All limits must hold; the first
/// that does not refuses.
/// </summary>
internal sealed class Assessment
{
    private const string RateCode = "rate_limit_exceeded", QuotaCode = "insufficient_quota";

    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(1);

    private readonly Demand _demand;
    private readonly Price? _price;
    private readonly Windows _windows;
    private readonly long _now;

    /// <summary>Assesses a demand that a key makes.</summary>
    /// <param name="demand">The demand.</param>
    /// <param name="price">The model's price; null for none.</param>
    /// <param name="limits">The limits of its owners that have any.</param>
    /// <param name="spent">What they have used and set aside.</param>
    /// <param name="windows">The windows it counts in.</param>
    /// <param name="now">Unix milliseconds.</param>
    public Assessment(Demand demand, Price? price, Dictionary<string, Limits> limits, IReadOnlyList<OwnerSpending> spent, Windows windows, long now)
    {
        _demand = demand;
        _price = price;
        _windows = windows;
        _now = now;
        OutputTokens = demand.OutputTokens;
        Owner[] owners = demand.Key is null ? [] : Owner.Of(demand.Key);
        foreach (Owner owner in owners)
        {
            if (Refusal is null && limits.TryGetValue(owner.ToString(), out Limits? own))
                Assess(owner, own, spent);
        }

        foreach (Owner owner in owners)
        {
            if (limits.TryGetValue(owner.ToString(), out Limits? own))
                TellRates(OwnerSpending.At(spent, owner.ToString(), windows).Minute, own);
        }
    }

    /// <summary>Tokens that every choice may produce.</summary>
    public long OutputTokens { get; private set; }

    /// <summary>Tokens to set aside.</summary>
    public long Tokens => _demand.PromptTokens + OutputTokens * _demand.Choices;

    /// <summary>Money to set aside.</summary>
    public long Cost => _price?.Most(_demand.PromptTokens, OutputTokens * _demand.Choices) ?? 0;

    /// <summary>Why it may not pass; null where it may.</summary>
    public FlintException? Refusal { get; private set; }

    /// <summary>What was decided, for the record.</summary>
    public string Decision { get; private set; } = "";

    /// <summary>The tightest limit of requests by the minute; null where there is none.</summary>
    public RateState? Requests { get; private set; }

    /// <summary>The tightest limit of tokens by the minute; null where there is none.</summary>
    public RateState? MinuteTokens { get; private set; }

    private void Assess(Owner owner, Limits limits, IReadOnlyList<OwnerSpending> spent)
    {
        (_, Spending now, Spending minute, Spending day, Spending month) = OwnerSpending.At(spent, owner.ToString(), _windows);
        if (now.Requests >= limits.ConcurrentRequests)
            RefuseRate(owner, "concurrent_requests", Soon, $"{limits.ConcurrentRequests} requests at once, and as many are under way");
        else if (minute.Requests >= limits.RequestsPerMinute)
            RefuseRate(owner, "requests_per_minute", Until(_windows.MinuteEnd), $"{limits.RequestsPerMinute} requests per minute");
        else
            _ = FitsMinute(owner, minute, limits.TokensPerMinute)
                && FitsTokens(owner, "daily_tokens", limits.DailyTokens, day, _windows.DayEnd)
                && FitsTokens(owner, "monthly_tokens", limits.MonthlyTokens, month, _windows.MonthEnd)
                && FitsCost(owner, "daily_cost", limits.DailyCost, day, _windows.DayEnd)
                && FitsCost(owner, "monthly_cost", limits.MonthlyCost, month, _windows.MonthEnd);
    }

    // A minute passes soon, so that an elastic demand takes half of the whole limit and waits for it where less is left.
    private bool FitsMinute(Owner owner, Spending minute, long? limit)
    {
        if (limit is not long whole)
            return true;
        Clip(owner, "tokens_per_minute", (whole - _demand.PromptTokens) / 2);
        if (Tokens <= whole - minute.Tokens)
            return true;
        RefuseRate(owner, "tokens_per_minute", Until(_windows.MinuteEnd), Tokens > whole
            ? $"{whole} tokens per minute, and this request alone may use {Tokens}; ask for fewer"
            : $"{whole} tokens per minute, of which {Math.Max(0, whole - minute.Tokens)} are left, and this request may use {Tokens}");
        return false;
    }

    private bool FitsTokens(Owner owner, string name, long? budget, Spending spent, long end)
    {
        if (budget is not long whole)
            return true;
        long left = whole - spent.Tokens;
        Clip(owner, name, (left - _demand.PromptTokens) / 2);
        return Tokens <= left || RefuseQuota(owner, name, end, $"of {whole} tokens has {Math.Max(0, left)} left, and this request may use {Tokens}");
    }

    private bool FitsCost(Owner owner, string name, long? budget, Spending spent, long end)
    {
        if (budget is not long whole || _price is null)
            return true;
        long left = whole - spent.Cost;
        Clip(owner, name, _price.OutputFor((left - _price.Most(_demand.PromptTokens, 0)) / 2));
        return Cost <= left || RefuseQuota(owner, name, end, $"of {Money.Text(whole)} has {Money.Text(Math.Max(0, left))} left, and this request may cost {Money.Text(Cost)}");
    }

    // At least one token is left to every choice; whether even that fits is for the budget to say.
    private void Clip(Owner owner, string name, long output)
    {
        long each = Math.Max(1, output / _demand.Choices);
        if (!_demand.IsElastic || each >= OutputTokens)
            return;
        OutputTokens = each;
        Decision = $"clipped {owner.KindName} {name} {each}";
    }

    private void RefuseRate(Owner owner, string name, TimeSpan wait, string what) =>
        Refuse(owner, name, RateCode, wait, $"Rate limit reached: {NameOf(owner)} may have {what}. Please try again in {Math.Ceiling(wait.TotalSeconds)} s.");

    private bool RefuseQuota(Owner owner, string name, long end, string what)
    {
        string budget = name.StartsWith("daily", StringComparison.Ordinal) ? "daily budget" : "monthly budget";
        Refuse(owner, name, QuotaCode, Until(end), $"You exceeded your current quota: the {budget} of {NameOf(owner)} {what}. It is renewed at {DateTimeOffset.FromUnixTimeMilliseconds(end):yyyy-MM-dd HH:mm} UTC.");
        return false;
    }

    private void Refuse(Owner owner, string name, string code, TimeSpan wait, string message)
    {
        Refusal = new FlintException(FaultSide.Limit, code, message) { RetryAfter = wait };
        Decision = $"refused {owner.KindName} {name}";
    }

    private void TellRates(Spending minute, Limits limits)
    {
        bool passes = Refusal is null;
        TimeSpan reset = Until(_windows.MinuteEnd);
        if (limits.RequestsPerMinute is long requests)
            Requests = Tighter(Requests, new RateState(requests, Math.Max(0, requests - minute.Requests - (passes ? 1 : 0)), reset));
        if (limits.TokensPerMinute is long tokens)
            MinuteTokens = Tighter(MinuteTokens, new RateState(tokens, Math.Max(0, tokens - minute.Tokens - (passes ? Tokens : 0)), reset));
    }

    private static RateState Tighter(RateState? a, RateState b) => a is { } known && known.Remaining <= b.Remaining ? known : b;

    private TimeSpan Until(long end) => TimeSpan.FromMilliseconds(Math.Max(1, end - _now));

    private string NameOf(Owner owner) => owner.Kind switch
    {
        OwnerKind.Key => $"the key '{_demand.Key!.Name}'",
        OwnerKind.Project => $"the project '{_demand.Key!.Project}'",
        _ => $"the organisation '{_demand.Key!.Organization}'",
    };
}
