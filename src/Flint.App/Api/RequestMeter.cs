using System.Diagnostics;
using Flint.App.Accounts;
using Flint.Engine;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Flint.App.Api;

/// <summary>Measures one request and settles it in the ledger, once, before its response ends.</summary>
internal sealed class RequestMeter
{
    private readonly Ledger _ledger;
    private readonly ApiCounters _counters;
    private readonly long _start;
    private readonly UsageRecord _record;
    private readonly List<Sequence> _sequences = [];
    private readonly HashSet<Sequence> _sharing = []; // those whose prompt is another's
    private long _reasoningTokens;
    private double _submittedMs;
    private bool _settled;

    /// <summary>Starts measuring.</summary>
    /// <param name="ledger">Where it will be settled.</param>
    /// <param name="counters">What <c>/metrics</c> tells.</param>
    /// <param name="id">The id its response will carry.</param>
    /// <param name="endpoint">The route.</param>
    /// <param name="key">The key that pays; null where the server runs without keys.</param>
    public RequestMeter(Ledger ledger, ApiCounters counters, string id, string endpoint, long? key)
    {
        _ledger = ledger;
        _counters = counters;
        _start = Stopwatch.GetTimestamp();
        _record = new UsageRecord { RequestId = id, Endpoint = endpoint, KeyId = key, Started = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() };
    }

    /// <summary>The meter of a request to a metered route.</summary>
    public static RequestMeter Of(HttpContext context) => context.Features.GetRequiredFeature<RequestMeter>();

    /// <summary>The id its response carries.</summary>
    public string Id => _record.RequestId;

    /// <summary>When the request arrived, Unix seconds.</summary>
    public long Created => _record.Started / 1000;

    /// <summary>Counts tokens of reasoning.</summary>
    public void CountReasoning(long tokens = 1) => Interlocked.Add(ref _reasoningTokens, tokens);

    /// <summary>Names the model that answers.</summary>
    public void SetModel(string name) => _record.Model = name;

    /// <summary>Adds the samples of one prompt, just handed to the engine.</summary>
    public void Add(IReadOnlyList<Sequence> samples)
    {
        if (_sequences.Count == 0)
            _submittedMs = Stopwatch.GetElapsedTime(_start).TotalMilliseconds;
        _sequences.AddRange(samples);
    }

    /// <summary>Adds a sequence whose prompt was computed, and paid, for one added before.</summary>
    public void AddSharing(Sequence sequence)
    {
        lock (_sharing)
        {
            _sharing.Add(sequence);
            _sequences.Add(sequence);
        }
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
        TokenUsage usage = Usage;
        _record.Status = status;
        _record.Finish = finish;
        _record.PromptTokens = usage.PromptTokens;
        _record.CachedTokens = usage.CachedTokens;
        _record.OutputTokens = usage.OutputTokens;
        _record.ReasoningTokens = usage.ReasoningTokens;
        foreach (Sequence sequence in _sequences)
        {
            _record.QueueMs = Math.Max(_record.QueueMs, sequence.QueueTime?.TotalMilliseconds ?? 0);
            if (sequence.FirstTokenTime is TimeSpan first && (_record.FirstTokenMs == 0 || _submittedMs + first.TotalMilliseconds < _record.FirstTokenMs))
                _record.FirstTokenMs = _submittedMs + first.TotalMilliseconds;
        }

        _record.TotalMs = Stopwatch.GetElapsedTime(_start).TotalMilliseconds;
        _counters.Count(_record);
        await _ledger.RecordAsync(_record);
    }
}
