using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Flint.App.Accounts;
using Flint.App.Operations;
using Flint.App.Policy;
using Flint.App.Serving;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>A text of a request that classifiers judge.</summary>
/// <param name="Path">Where it stands.</param>
/// <param name="Role">The role of its message.</param>
/// <param name="Text">The text.</param>
internal readonly record struct InputText(string Path, string Role, string Text);

/// <summary>
/// Has models judge texts for the rules that want it. What it asks is the operator's: it is recorded and priced apart from the request
/// that it is for, charged to no key, and passes no policy itself. A text that was judged once is not asked about again soon.
/// </summary>
internal sealed class Classifier(Models models, Reservations reservations, Ledger ledger, ApiCounters counters, ServerLog log, TimeProvider time)
{
    /// <summary>The code of the fault that a text could not be judged, and its rule lets none pass then.</summary>
    public const string FailedCode = "classifier_failed";

    /// <summary>What records name as the route.</summary>
    public const string Route = "classifier";

    private const int MaxKnown = 8192; // judgements remembered

    private readonly Lock _gate = new();
    private readonly Dictionary<string, bool> _known = new(StringComparer.Ordinal);
    private readonly Queue<string> _order = new();

    /// <summary>Judges a window of a text.</summary>
    /// <param name="rule">The rule.</param>
    /// <param name="window">The window.</param>
    /// <param name="where">Where it stands, as records name it.</param>
    /// <param name="meter">Of the request, which notes what is decided.</param>
    /// <param name="cancellation">The caller has left.</param>
    /// <returns>Whether it is denied.</returns>
    /// <exception cref="FlintException">Machine: it could not be judged, and the rule lets nothing pass then.</exception>
    public async Task<bool> DeniesAsync(ClassifierRule rule, string window, string where, RequestMeter meter, CancellationToken cancellation)
    {
        if (string.IsNullOrWhiteSpace(window))
            return false;
        string digest = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes($"{rule.Model}\0{rule.Prompt}\0{string.Join('\0', rule.Denies)}\0\0{string.Join('\0', rule.Allows)}\0\0{window}")));
        if (Find(digest) is not bool denies)
        {
            (bool? judged, string failure) = await AskAsync(rule, window, $"{rule.Name} {where} of {meter.Id}", cancellation);
            if (judged is null)
            {
                meter.Note($"{(rule.FailsOpen ? "passed" : "failed")} {rule.Name} {where} {failure}");
                log.Fail(FailedCode, $"The rule '{rule.Name}' could not judge a text: {failure}.", meter.Id);
                return rule.FailsOpen ? false : throw new FlintException(FaultSide.Machine, FailedCode, $"The rule '{rule.Name}' of this server's policy cannot be asked now.") { RetryAfter = TimeSpan.FromSeconds(5) };
            }

            denies = judged.Value;
            Keep(digest, denies);
        }

        if (denies)
            meter.Note($"denied {rule.Name} {where}");
        return denies;
    }

    /// <summary>Judges the texts of a request, in windows.</summary>
    /// <param name="rules">The rules.</param>
    /// <param name="texts">The texts.</param>
    /// <param name="meter">Of the request.</param>
    /// <param name="cancellation">The caller has left.</param>
    /// <exception cref="ApiException">A rule denies one.</exception>
    /// <exception cref="FlintException">Machine: one could not be judged, and its rule lets nothing pass then.</exception>
    public async Task JudgeAsync(IEnumerable<ClassifierRule> rules, IReadOnlyList<InputText> texts, RequestMeter meter, CancellationToken cancellation)
    {
        foreach (ClassifierRule rule in rules)
        {
            foreach ((string path, string role, string text) in texts)
            {
                if (!rule.Covers(role))
                    continue;
                for (int at = 0; at == 0 || at + rule.Overlap < text.Length; at += rule.Window - rule.Overlap)
                {
                    if (await DeniesAsync(rule, text[at..Math.Min(text.Length, at + rule.Window)], $"{path}:{at}", meter, cancellation))
                        throw InputPolicy.Refusal(path, rule.Name);
                }
            }
        }
    }

    // Null with the code of the failure where it cannot be told.
    private async Task<(bool? Denies, string Failure)> AskAsync(ClassifierRule rule, string window, string what, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        var record = new UsageRecord
        {
            RequestId = "clsf-" + RandomNumberGenerator.GetHexString(32, lowercase: true), Endpoint = Route, Model = rule.Model, Started = time.GetUtcNow().ToUnixTimeMilliseconds(),
        };
        using var late = new CancellationTokenSource(rule.Timeout, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, late.Token);
        var call = new ClassifierCall(rule, window, record);
        bool? denies = null;
        string failure = "classifier_unclear";
        try
        {
            NamedModel model = models.All.FirstOrDefault(one => one.Name == rule.Model) ?? throw FlintException.Caller("model_not_found", $"No model is named '{rule.Model}'.");
            denies = rule.Denial(await call.RunAsync(model, reservations, stop.Token));
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            failure = "classifier_timeout";
        }
        catch (Exception error) when (error is FlintException or ApiException)
        {
            failure = error is FlintException fault ? fault.Code : ((ApiException)error).Code ?? "server_error";
        }
        finally
        {
            bool isLeft = denies is null && cancellation.IsCancellationRequested;
            record.Status = isLeft ? Gate.ClientClosedRequest : denies is null ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status200OK;
            record.Finish = isLeft ? "cancelled" : denies is null ? failure : "stop";
            record.Policy = $"{(denies is null ? "failed" : denies.Value ? "denied" : "allowed")} {what}";
            record.TotalMs = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            await RecordAsync(record, call.Reservation);
        }

        return (denies, failure);
    }

    // A record that cannot be written now is kept for later, as that of any request; what was judged stays judged.
    private async Task RecordAsync(UsageRecord record, Reservation? reservation)
    {
        counters.Count(record);
        try
        {
            await ledger.RecordAsync(record, reservation);
        }
        catch (FlintException unrecorded)
        {
            log.Fail("not_recorded", unrecorded.Message, record.RequestId);
        }
    }

    private bool? Find(string digest)
    {
        lock (_gate)
            return _known.TryGetValue(digest, out bool denies) ? denies : null;
    }

    private void Keep(string digest, bool denies)
    {
        lock (_gate)
        {
            if (!_known.TryAdd(digest, denies))
                return;
            _order.Enqueue(digest);
            if (_order.Count > MaxKnown)
                _known.Remove(_order.Dequeue());
        }
    }
}
