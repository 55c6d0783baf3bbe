using Flint.App.Accounts;
using Flint.App.Operations;
using Flint.App.Policy;
using Flint.App.Serving;

namespace Flint.App.Api;

/// <summary>What the meters of all requests share.</summary>
/// <param name="Ledger">Where they are settled.</param>
/// <param name="Reservations">Where what they may use is set aside.</param>
/// <param name="Counters">What <c>/metrics</c> tells.</param>
/// <param name="Policies">What texts must keep to.</param>
/// <param name="Classifier">Has models judge texts.</param>
/// <param name="Telemetry">Their traces and metrics.</param>
/// <param name="Log">Is told of each, and of faults.</param>
/// <param name="Time">The clock.</param>
/// <param name="Checkers">The commands that code of agents can be put to, by name.</param>
/// <param name="Prompts">The texts of requests and answers that keys have kept.</param>
/// <param name="IsMuse">Whether the profile of keys that name none refuses what Meta's Model API refuses.</param>
internal sealed record Metering(
    Ledger Ledger, Reservations Reservations, ApiCounters Counters, Policies Policies, Classifier Classifier, Telemetry Telemetry, ServerLog Log, TimeProvider Time,
    IReadOnlyDictionary<string, CodeChecker> Checkers, Prompts Prompts, bool IsMuse);
