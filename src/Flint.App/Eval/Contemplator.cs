using Flint.App.Nano;
using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Eval;

/// <summary>
/// Has several agents answer an item together. Samples of a majority think as much as the item says. Contemplating is an effort of its
/// own, in the place of those: its agents think as much as the model does unasked, or as the options say.
/// </summary>
internal sealed class Contemplator(ServedModel model, EvaluationOptions options)
{
    private readonly Responder _responder = new(model);

    /// <summary>Writes the turn at a place of an item, after what stands before it.</summary>
    internal async Task<ModelTurn> AnswerAsync(NanoItem item, int place, CancellationToken cancel)
    {
        Strength? strength = options.Mode == EvaluationMode.Contemplating ? options.Strength : item.Strength;
        TemplateInput input = _responder.Input(item, place, prompt: true, strength);
        ContemplationTask task = ChatContemplation.Create(model.Variants[0], input, new SamplingOptions(), [], calibration: options.Calibration);
        // Items of one run draw apart; the same item draws the same in every run.
        ContemplationOptions own = options.Contemplation with { Seed = new NanoRandom(options.Contemplation.Seed, Hash(item.Key), (ulong)place).Next() };
        ContemplationTrace trace = await Contemplation.RunAsync(model.Engine, task, own, cancellation: cancel);
        AgentTrace? speaker = trace.Answer.Agent < 0 ? null : trace.Agents[trace.Answer.Agent];
        IReadOnlyList<ToolCall> calls = speaker is { Kind: AnswerKind.Call, Answer: { } call } ? ChatDraft.CallsOf(call) : [];
        int content = model.Tokenizer.Encode(trace.Answer.Content, addSpecial: false, parseSpecial: false).Length;
        return new ModelTurn(trace.Answer.Content, speaker?.Reasoning ?? "", calls, (int)Math.Max(0, trace.Cost.OutputTokens - content))
        {
            OutputTokens = trace.Cost.OutputTokens,
            Agents = trace.Agents.Count,
            Trace = trace,
        };
    }

    // FNV-1a over UTF-16 units: the same on every machine, as string hashes are not.
    private static ulong Hash(string text)
    {
        ulong hash = 0xCBF29CE484222325;
        foreach (char c in text)
            hash = (hash ^ c) * 0x100000001B3;
        return hash;
    }
}
