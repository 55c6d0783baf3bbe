using System.Diagnostics;
using System.Text.Json;
using Flint.App.Accounts;
using Flint.App.Operations;
using Flint.App.Policy;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Engine;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Flint.App.Api;

/// <summary>
/// Measures one request: asks its key's scopes, reserves what it may use before the engine has it, and settles it in the ledger, once,
/// before its response ends.
/// </summary>
internal sealed class RequestMeter
{
    // Decisions that a record names one by one; of further ones it tells that there were some.
    private const int MaxDecisions = 32;

    private readonly Metering _metering;
    private readonly Key? _key;
    private readonly IHeaderDictionary _headers;
    private readonly long _start;
    private readonly MeteredRoute _route;
    private readonly Activity? _span;
    private readonly UsageRecord _record;
    private readonly List<Sequence> _sequences = [];
    private readonly HashSet<Sequence> _sharing = []; // those whose prompt is another's
    private readonly HashSet<Sequence> _agents = []; // those whose tokens are all reasoning
    private readonly List<string> _decisions = [];
    private readonly PolicyRules? _rules;
    private readonly bool _hasRules;
    private readonly PromptLogging? _logging; // of the key's texts
    private string? _user, _input;
    private readonly CancellationToken _left; // the caller has
    private IReadOnlyList<InputText>? _unjudged;
    private readonly TimeSpan _entry;
    private TimeSpan _reserving;
    private Reservation? _reservation;
    private readonly List<UpstreamAnswer> _upstreams = [];
    private readonly HashSet<UpstreamAnswer> _upstreamAgents = []; // those whose tokens are all reasoning
    private int _threads;
    private long _reasoningTokens;
    private double _submittedMs;
    private bool _settled;

    /// <summary>Starts measuring.</summary>
    /// <param name="metering">Where it will be settled.</param>
    /// <param name="id">The id its response will carry.</param>
    /// <param name="route">The route.</param>
    /// <param name="key">The key that pays; null where the server runs without keys.</param>
    /// <param name="context">The request; headers of its response tell how far limits are used.</param>
    /// <param name="start">When it arrived.</param>
    public RequestMeter(Metering metering, string id, MeteredRoute route, Key? key, HttpContext context, long start)
    {
        _metering = metering;
        _route = route;
        _key = key;
        _headers = context.Response.Headers;
        _left = context.RequestAborted;
        _span = metering.Telemetry.Begin(route.Operation, route.Path, context.Request.Headers.TraceParent, context.Request.Headers.TraceState);
        _start = start;
        _hasRules = metering.Policies.TryFind(key?.Scopes.Policy, out _rules);
        _record = new UsageRecord
        {
            RequestId = id, Endpoint = route.Path, Dialect = route.Dialect, Started = metering.Time.GetUtcNow().ToUnixTimeMilliseconds(),
            KeyId = key?.Id, ProjectId = key?.ProjectId, OrganizationId = key?.OrganizationId,
        };
        Share = new EngineShare(key?.Id ?? 0);
        _logging = key?.Scopes.Prompts;
        Answers = _logging is null ? null : new AnswerLog();
        _entry = Stopwatch.GetElapsedTime(start);
    }

    /// <summary>The meter of a request to a metered route.</summary>
    public static RequestMeter Of(HttpContext context) => context.Features.GetRequiredFeature<RequestMeter>();

    /// <summary>Whose its sequences are to an engine: the key's, with the weight that it has when what it may use is set aside.</summary>
    public EngineShare Share { get; }

    /// <summary>The id its response carries.</summary>
    public string Id => _record.RequestId;

    /// <summary>When the request arrived, Unix seconds.</summary>
    public long Created => _record.Started / 1000;

    /// <summary>A command that code of agents can be put to.</summary>
    /// <exception cref="ApiException">There is none of that name.</exception>
    public CodeChecker Checker(string name) => _metering.Checkers.GetValueOrDefault(name)
        ?? throw ApiException.Invalid("contemplation.checker", "unknown_checker", $"Invalid 'contemplation.checker': this server has no checker '{ApiException.Shorten(name)}'.");

    /// <summary>Is told what the caller is told, where the key has that kept; null where it has not.</summary>
    public AnswerLog? Answers { get; }

    /// <summary>The digest of whom the caller named as the person behind the request; null where it named nobody.</summary>
    /// <exception cref="FlintException">Machine: the store cannot be read now.</exception>
    public string? Person => _user is string user ? _metering.Prompts.Digest(user) : null;

    /// <summary>Takes the body: has the key's profile refuse it, and keeps what is to be kept of it.</summary>
    /// <exception cref="ApiException">The profile refuses it.</exception>
    public void Take(JsonFields body)
    {
        if (_logging is not null)
            _input = body.Element.GetRawText();
        _user = UserOf(body, "safety_identifier") ?? UserOf(body, "user");
        if (_user is null && body.TryGet("metadata", out JsonElement metadata) && metadata.ValueKind == JsonValueKind.Object)
            _user = UserOf(new JsonFields(metadata, "metadata"), "user_id");
        if (MuseProfile.Is(_key, _metering))
            _route.MuseCheck?.Invoke(body);

        // Of a wrong type it is the route's to refuse.
        static string? UserOf(JsonFields fields, string name) =>
            fields.TryGet(name, out JsonElement value) && value.ValueKind == JsonValueKind.String && JsonFields.Text(value, fields.PathOf(name)) is { Length: > 0 } user ? user : null;
    }

    /// <summary>A failure in the words of the key's profile.</summary>
    public ApiException Spell(ApiException failure) => MuseProfile.Is(_key, _metering) ? MuseProfile.Spell(failure) : failure;

    /// <summary>The clock.</summary>
    public TimeProvider Time => _metering.Time;

    /// <summary>Where faults are told.</summary>
    public ServerLog Log => _metering.Log;

    /// <summary>Asks models about texts.</summary>
    public Classifier Classifier => _metering.Classifier;

    /// <summary>Counts tokens of reasoning.</summary>
    public void CountReasoning(long tokens = 1) => Interlocked.Add(ref _reasoningTokens, tokens);

    /// <summary>Counts tokens of agents that were cut off.</summary>
    public void CountDiscarded(long tokens) => _record.DiscardedTokens += tokens;

    /// <summary>Names the model that answers.</summary>
    /// <exception cref="ApiException">The key may not use it.</exception>
    public void SetModel(string name)
    {
        _record.Model = name;
        CheckModel(name);
    }

    /// <summary>Asks whether the key may use a model.</summary>
    /// <exception cref="ApiException">It may not.</exception>
    public void CheckModel(string name)
    {
        if (_key is { Scopes: var scopes } && !scopes.AllowsModel(name))
            throw Refuse("models", $"the model '{ApiException.Shorten(name)}'", scopes.Models);
    }

    /// <summary>The policy that the request and its answer must keep to, as it was when the request came; null for none.</summary>
    /// <exception cref="ApiException">The key names one that this server does not have.</exception>
    public PolicyRules? Rules => _hasRules ? _rules : throw RefusePolicy();

    /// <summary>Has models judge texts of the request before its answer is computed, once what that may use is set aside.</summary>
    /// <param name="texts">The texts; those of a request that is read again, shortened, are among those of its first reading.</param>
    public void Judge(IReadOnlyList<InputText> texts) => _unjudged ??= texts;

    /// <summary>Notes what was decided about the request, for its record: never its text.</summary>
    public void Note(string decision)
    {
        if (decision.Length == 0)
            return;
        lock (_decisions)
        {
            if (_decisions.Count <= MaxDecisions)
                _decisions.Add(_decisions.Count == MaxDecisions ? "and more" : decision);
        }
    }

    /// <summary>Names the mode of a chat, and asks whether the key may have it and offer functions.</summary>
    /// <param name="asked">The mode; null where the model goes its own way.</param>
    /// <param name="reasons">Whether its own way may be to think.</param>
    /// <param name="offersTools">Whether functions are offered.</param>
    /// <exception cref="ApiException">It may not.</exception>
    public void SetMode(ReasoningMode? asked, bool reasons, bool offersTools)
    {
        _record.Mode = asked is ReasoningMode named ? ModePlan.Names[(int)named] : "";
        if (_key is not { Scopes: var scopes })
            return;
        string mode = ModePlan.Names[(int)(asked ?? (reasons ? ReasoningMode.Thinking : ReasoningMode.Instant))];
        if (!scopes.AllowsMode(mode))
            throw Refuse("modes", $"the mode '{mode}'{(asked is null ? ", which is this model's own way" : "")}", scopes.Modes);
        if (offersTools && !scopes.Tools)
            throw Refuse("tools", "tools", ["none"]);
    }

    /// <summary>Sets aside the most that the request may use. Nothing is handed to an engine, or to an upstream, before.</summary>
    /// <param name="model">The model.</param>
    /// <param name="promptTokens">Tokens of all prompts.</param>
    /// <param name="outputTokens">Tokens that every choice may produce.</param>
    /// <param name="choices">How many choices.</param>
    /// <param name="isElastic">Whether the caller named no number of tokens, so that fewer will do.</param>
    /// <returns>Tokens that every choice may produce, at least 1 where any were asked for.</returns>
    /// <exception cref="FlintException">Limit: a limit of the key, its project or its organisation is met. Machine: the store cannot be written.</exception>
    public async Task<long> ReserveAsync(NamedModel model, long promptTokens, long outputTokens, int choices, bool isElastic)
    {
        long begun = Stopwatch.GetTimestamp();
        _record.Fingerprint = model.Fingerprint;
        _threads = (model as ModelVariant)?.Model.Model.Threads ?? 0;
        Grant grant = await _metering.Reservations.ReserveAsync(new Demand
        {
            RequestId = Id, Key = _key, Model = model.Name, PromptTokens = promptTokens, OutputTokens = outputTokens, Choices = choices, IsElastic = isElastic,
            Prices = (model as UpstreamModel)?.Prices ?? [],
        });
        _reserving += Stopwatch.GetElapsedTime(begun);
        Note(grant.Decision);
        TellRate("requests", grant.Requests);
        TellRate("tokens", grant.Tokens);
        if (grant.Refusal is { } refusal)
        {
            if (refusal.Code == "insufficient_quota")
                _headers["x-should-retry"] = "false"; // waiting a moment and trying again, as clients do, is in vain
            throw refusal;
        }

        _reservation = grant.Reservation!;
        Share.Weight = grant.Weight;
        if (_unjudged is not null)
            await Classifier.JudgeAsync(_rules!.Classifiers.Where(rule => rule.OnInput), _unjudged, this, _left);
        return _reservation.OutputTokens;
    }

    /// <summary>Adds the samples of one prompt, just handed to the engine.</summary>
    public void Add(IReadOnlyList<Sequence> samples)
    {
        if (_sequences.Count == 0)
            _submittedMs = Stopwatch.GetElapsedTime(_start).TotalMilliseconds;
        foreach (Sequence sample in samples)
            Check(sample);
        lock (_sharing)
            _sequences.AddRange(samples);
    }

    /// <summary>Adds a turn of a sub-agent, whose tokens are all reasoning. Of its prompts the first is paid.</summary>
    public void AddAgent(Sequence sequence, int turn)
    {
        Check(sequence);
        lock (_sharing)
        {
            _agents.Add(sequence);
            if (turn > 0)
                _sharing.Add(sequence);
            _sequences.Add(sequence);
        }
    }

    /// <summary>Adds a sequence whose prompt was computed, and paid, for one added before.</summary>
    public void AddSharing(Sequence sequence)
    {
        Check(sequence);
        lock (_sharing)
        {
            _sharing.Add(sequence);
            _sequences.Add(sequence);
        }
    }

    /// <summary>Adds the answer of an upstream, which is about to be asked.</summary>
    public void Add(UpstreamAnswer answer)
    {
        if (_reservation is null)
            throw NotReserved();
        lock (_upstreams)
            _upstreams.Add(answer);
    }

    /// <summary>Adds the answer of an upstream that is one agent of many; all it writes counts as reasoning.</summary>
    public void AddAgent(UpstreamAnswer answer)
    {
        lock (_upstreams)
            _upstreamAgents.Add(answer);
        Add(answer);
    }

    /// <summary>What was used until now.</summary>
    public TokenUsage Usage
    {
        get
        {
            var usage = new TokenUsage { ReasoningTokens = Interlocked.Read(ref _reasoningTokens) };
            foreach (Sequence sequence in _sequences)
            {
                // The samples of a request share one prompt: it is computed, and paid, once.
                if (sequence.SampleIndex == 0 && !_sharing.Contains(sequence))
                {
                    usage.PromptTokens += sequence.PromptTokens;
                    usage.CachedTokens += sequence.CachedTokens;
                }

                usage.OutputTokens += sequence.OutputTokens;
                if (_agents.Contains(sequence))
                    usage.ReasoningTokens += sequence.OutputTokens;
            }

            foreach (UpstreamAnswer answer in Upstreams)
            {
                UpstreamUsage relayed = answer.Usage;
                usage.PromptTokens += relayed.PromptTokens;
                usage.CachedTokens += relayed.CachedTokens;
                usage.OutputTokens += relayed.OutputTokens;
                usage.ReasoningTokens += IsAgent(answer) ? relayed.OutputTokens : relayed.ReasoningTokens ?? 0;
            }

            return usage;
        }
    }

    /// <summary>Time until now: in all, on the first prompt, and since its first token.</summary>
    public (TimeSpan Total, TimeSpan Prompt, TimeSpan Output) Times
    {
        get
        {
            TimeSpan total = Stopwatch.GetElapsedTime(_start);
            return _sequences is [{ QueueTime: { } queued, FirstTokenTime: { } first }, ..]
                ? (total, first - queued, total - TimeSpan.FromMilliseconds(_submittedMs) - first)
                : (total, default, default);
        }
    }

    /// <summary>Records the request; a second call does nothing.</summary>
    /// <param name="status">The HTTP status.</param>
    /// <param name="finish">The finish reasons of its choices, or the code of the error.</param>
    /// <exception cref="FlintException">The record could not be written; the response must not end as if it were.</exception>
    public async Task SettleAsync(int status, string finish)
    {
        if (_settled)
            return;
        _settled = true;
        long begun = Stopwatch.GetTimestamp();
        TokenUsage usage = Usage;
        SettleUpstreams();
        _record.Status = status;
        _record.Finish = finish;
        lock (_decisions)
            _record.Policy = string.Join("; ", _decisions);
        _record.PromptTokens = usage.PromptTokens;
        _record.CachedTokens = usage.CachedTokens;
        _record.OutputTokens = usage.OutputTokens;
        _record.ReasoningTokens = usage.ReasoningTokens;
        _record.Cost = Upstreams.Length == 0 ? _reservation?.Price?.Of(usage.PromptTokens, usage.CachedTokens, usage.OutputTokens) ?? 0 : UpstreamCost();
        foreach (Sequence sequence in _sequences)
        {
            _record.CpuMs += sequence.ComputeTime.TotalMilliseconds * _threads;
            _record.QueueMs = Math.Max(_record.QueueMs, sequence.QueueTime?.TotalMilliseconds ?? 0);
            if (sequence.FirstTokenTime is TimeSpan first && (_record.FirstTokenMs == 0 || _submittedMs + first.TotalMilliseconds < _record.FirstTokenMs))
                _record.FirstTokenMs = _submittedMs + first.TotalMilliseconds;
        }

        FlintException? unkept = KeepTexts();
        _record.TotalMs = Stopwatch.GetElapsedTime(_start).TotalMilliseconds;
        _metering.Counters.Count(_record);
        _metering.Log.Request(_record);
        _metering.Telemetry.End(_span, _route.Operation, _record);
        await _metering.Ledger.RecordAsync(_record, _reservation);
        _metering.Telemetry.Account(_entry, _reserving, Stopwatch.GetElapsedTime(begun));
        if (unkept is not null)
            throw unkept;
    }

    // A key whose texts are to be kept is not served where they cannot be.
    private FlintException? KeepTexts()
    {
        if (_logging is not { } logging || _key is null || _input is null)
            return null;
        try
        {
            string answers = Answers!.ToJson();
            (string input, string output) = logging.Form switch
            {
                PromptLogging.Hashed => (_metering.Prompts.Digest(_input), _metering.Prompts.Digest(answers)),
                PromptLogging.Redacted => (_metering.Policies.Redactor.RedactJson(_input), _metering.Policies.Redactor.RedactJson(answers)),
                _ => (_input, answers),
            };
            _metering.Prompts.Save(new KeptPrompt
            {
                RequestId = Id, KeyId = _key.Id, Person = Person, Created = _record.Started, Expires = _record.Started + (long)TimeSpan.FromDays(logging.Days).TotalMilliseconds,
                Endpoint = _record.Endpoint, Model = _record.Model, Form = logging.Form, Input = input, Output = output,
            });
            return null;
        }
        catch (Exception error)
        {
            // What it used is recorded whatever went wrong here.
            FlintException fault = error as FlintException ?? new FlintException(FaultSide.Bug, "not_kept", "The texts of a request could not be kept.", error);
            (_record.Status, _record.Finish) = (StatusCodes.Status503ServiceUnavailable, fault.Code);
            return fault;
        }
    }

    private UpstreamAnswer[] Upstreams
    {
        get
        {
            lock (_upstreams)
                return [.. _upstreams];
        }
    }

    private bool IsAgent(UpstreamAnswer answer)
    {
        lock (_upstreams)
            return _upstreamAgents.Contains(answer);
    }

    // The record names the targets that answered, or were asked last.
    private void SettleUpstreams()
    {
        UpstreamAnswer[] asked = [.. Upstreams.Where(answer => answer.Target is not null)];
        if (asked.Length == 0)
            return;
        _record.Fingerprint = "upstream:" + string.Join(',', asked.Select(answer => answer.Target).Distinct());
        foreach (UpstreamAnswer answer in asked.Where(answer => answer.Excess > 0))
            Note($"exceeded upstream {answer.Target} {answer.Excess}");
        if (asked.Min(answer => answer.Begun) is long begun)
            _record.FirstTokenMs = Stopwatch.GetElapsedTime(_start, begun).TotalMilliseconds;
    }

    // Sums are rounded up once for each price; together never to more than was reserved.
    private long UpstreamCost()
    {
        long cost = 0;
        foreach (var answers in Upstreams.GroupBy(answer => answer.Price ?? _reservation?.Price))
        {
            UpstreamUsage[] usages = [.. answers.Select(answer => answer.Usage)];
            cost += answers.Key?.Of(usages.Sum(usage => usage.PromptTokens), usages.Sum(usage => usage.CachedTokens), usages.Sum(usage => usage.OutputTokens)) ?? 0;
        }

        return Math.Min(cost, _reservation?.Cost ?? cost);
    }

    // A way to the engine, or to an upstream, that forgets to reserve would be a hole in every budget.
    private void Check(Sequence sequence)
    {
        if (_reservation is not null)
            return;
        sequence.Cancel();
        throw NotReserved();
    }

    private FlintException NotReserved() =>
        new(FaultSide.Bug, "not_reserved", $"{_record.Endpoint} had tokens produced before anything was reserved for them.");

    private ApiException Refuse(string scope, string what, IReadOnlyList<string> allowed)
    {
        Note($"refused scope {scope}");
        return MissingScope(scope, what, allowed);
    }

    private ApiException RefusePolicy()
    {
        Note("refused scope policy");
        return ApiException.Request(StatusCodes.Status403Forbidden, "policy_not_found", $"This API key has the policy '{_key!.Scopes.Policy}', which this server does not know.");
    }

    /// <summary>403: a scope of the key does not allow it.</summary>
    public static ApiException MissingScope(string scope, string what, IReadOnlyList<string> allowed) => ApiException.Request(
        StatusCodes.Status403Forbidden, "missing_scope", $"This API key may not use {what}: its scope '{scope}' allows {string.Join(", ", allowed)}.");

    private void TellRate(string of, RateState? rate)
    {
        if (rate is not { } known)
            return;
        if (_route.Dialect == "anthropic")
        {
            _headers[$"anthropic-ratelimit-{of}-limit"] = known.Limit.ToString();
            _headers[$"anthropic-ratelimit-{of}-remaining"] = known.Remaining.ToString();
            _headers[$"anthropic-ratelimit-{of}-reset"] = (Time.GetUtcNow() + known.Reset).ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture);
        }

        _headers[$"x-ratelimit-limit-{of}"] = known.Limit.ToString();
        _headers[$"x-ratelimit-remaining-{of}"] = known.Remaining.ToString();
        _headers[$"x-ratelimit-reset-{of}"] = $"{Math.Ceiling(known.Reset.TotalSeconds)}s";
    }
}
