using System.Diagnostics;
using Flint.App.Accounts;

namespace Flint.App.Upstreams;

/// <summary>
/// A model's answer from one of its upstreams. Until there is something to tell, a target that fails is followed by another; afterwards
/// its failure is the answer's. Used by one reader at a time.
/// </summary>
/// <param name="model">The model.</param>
/// <param name="request">What is asked.</param>
internal sealed class UpstreamAnswer(UpstreamModel model, UpstreamRequest request) : IAsyncDisposable
{
    private const int BytesPerToken = 2; // where an upstream does not tell, rather too many tokens than too few

    private const int MaxRefusals = 120; // where an answer waits for room

    private readonly List<UpstreamNews> _first = [];
    private UpstreamExchange? _exchange;
    private UpstreamMember? _member;
    private bool _isComplete;

    /// <summary>The target that answers, or was asked last; null where none was.</summary>
    public string? Target => _member?.Options.Name;

    /// <summary>What that one's tokens cost; null for the model's own price.</summary>
    public Price? Price => _member?.Options.Price;

    /// <summary>When there was something to tell first, as <see cref="Stopwatch"/> counts; null until then.</summary>
    public long? Begun { get; private set; }

    /// <summary>How many tokens more than could be reserved for it the upstream says to have used.</summary>
    public long Excess => Measure().Excess;

    /// <summary>
    /// What was used until now, never more than was to be reserved: what the upstream tells of an answer it has completed, else an
    /// estimate of what came.
    /// </summary>
    public UpstreamUsage Usage => Measure().Usage;

    /// <summary>The tokens of a prompt, about: rather too many than too few.</summary>
    public static long EstimatePrompt(UpstreamOptions options, UpstreamRequest request) =>
        Math.Min(Tokens(request.PromptBytes), request.MostPromptTokens(options));

    /// <summary>Has a target begin to answer.</summary>
    /// <param name="note">Told of targets that failed.</param>
    /// <param name="client">The client has left.</param>
    /// <exception cref="FlintException">Caller: the request was wrong to the upstream. Machine: none could answer it. Limit: none has room.</exception>
    /// <exception cref="OperationCanceledException">The client has left.</exception>
    public async Task BeginAsync(Action<string> note, CancellationToken client)
    {
        FlintException? last = null;
        var tried = new List<UpstreamMember>();
        while (tried.Count < model.Options.Attempts && model.Enter(tried) is { } lease)
        {
            _member = lease.Member;
            tried.Add(_member);
            _exchange = new UpstreamExchange(model, lease, request, client);
            try
            {
                await _exchange.BeginAsync(_first);
                Begun = Stopwatch.GetTimestamp();
                return;
            }
            catch (FlintException fault)
            {
                await _exchange.DisposeAsync();
                _exchange = null;
                _first.Clear();
                client.ThrowIfCancellationRequested();
                if (fault.Side == FaultSide.Caller)
                    throw;
                note($"failed upstream {Target} {fault.Code}");
                last = fault;
            }
        }

        throw last ?? model.Refusal();
    }

    /// <summary>Has a target begin to answer, once one has room.</summary>
    /// <param name="note">Told of targets that failed.</param>
    /// <param name="stop">Ends the waiting.</param>
    public async Task BeginInTurnAsync(Action<string> note, CancellationToken stop)
    {
        for (int refusals = 0; ; refusals++)
        {
            try
            {
                await BeginAsync(note, stop);
                return;
            }
            catch (FlintException busy) when (busy.Code == UpstreamFault.BusyCode && refusals < MaxRefusals)
            {
                await Task.Delay(busy.RetryAfter ?? TimeSpan.FromSeconds(1), model.Time, stop);
            }
        }
    }

    /// <summary>Reads what comes next.</summary>
    /// <param name="into">Receives what is new, if anything is.</param>
    /// <returns>False where the answer is complete.</returns>
    /// <exception cref="FlintException">Machine: the upstream failed.</exception>
    /// <exception cref="OperationCanceledException">The client has left.</exception>
    public async ValueTask<bool> ReadAsync(List<UpstreamNews> into)
    {
        if (_first.Count > 0)
        {
            into.AddRange(_first);
            _first.Clear();
            return true;
        }

        bool goesOn = await _exchange!.ReadAsync(into);
        _isComplete |= !goesOn;
        return goesOn;
    }

    /// <summary>Breaks off what goes on; what was used stays known.</summary>
    public ValueTask DisposeAsync() => _exchange?.DisposeAsync() ?? ValueTask.CompletedTask;

    private static long Tokens(long bytes) => (bytes + BytesPerToken - 1) / BytesPerToken;

    private (UpstreamUsage Usage, long Excess) Measure()
    {
        if (_exchange is not { IsAccepted: true, Reader: { } reader })
            return default;
        bool isTold = _isComplete || (model.Options.ContinuousUsage && request.Choices == 1); // of several, a chunk tells one choice's
        UpstreamUsage told = isTold ? reader.Reported ?? Estimate(reader) : Estimate(reader);
        long prompt = Math.Min(told.PromptTokens, request.MostPromptTokens(model.Options));
        long output = Math.Min(told.OutputTokens, (long)request.MaxTokens * request.Choices);
        long thoughts = told.ReasoningTokens ?? (reader.Bytes == 0 ? 0 : (long)((Int128)output * reader.ReasoningBytes / reader.Bytes));
        long excess = told == reader.Reported ? told.PromptTokens - prompt + told.OutputTokens - output : 0;
        return (new UpstreamUsage(prompt, Math.Min(told.CachedTokens, prompt), output, Math.Min(thoughts, output)), excess);
    }

    private UpstreamUsage Estimate(ChunkReader reader) =>
        new(EstimatePrompt(model.Options, request), 0, Math.Max(Tokens(reader.Bytes), reader.Pieces), null);
}
