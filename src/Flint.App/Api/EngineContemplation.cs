using Flint.App.Serving;
using Flint.Contemplate;

namespace Flint.App.Api;

/// <summary>A contemplation whose agents a model of this server's own computes.</summary>
internal sealed class EngineContemplation : ContemplatingChat
{
    private readonly EngineTurn _turn;

    /// <summary>Prepares one.</summary>
    /// <param name="turn">What was asked.</param>
    public EngineContemplation(EngineTurn turn)
        : base(turn, new AgentScript(turn.Model, turn.Prompt, turn.Request.Conversation.Tools)) => _turn = turn;

    /// <inheritdoc/>
    protected override async Task<ContemplationTrace> ThinkAsync(Func<ContemplationEvent, ValueTask> tell, CancellationToken cancellation)
    {
        GenerationFields generation = _turn.Request.Generation;
        ContemplationTask task = ChatContemplation.Create(
            _turn.Variant, _turn.Input, generation.Sampling, generation.Stop, Variety(), tell: tell, draftTokens: _turn.Request.Contemplation.Options.AgentTokens,
            check: _turn.Check(), share: _turn.Meter.Share, grammar: _turn.Grammar);
        ContemplationOptions options = await _turn.ReserveAsync(task);
        return await Contemplation.RunAsync(_turn.Model.Engine, task, options, _turn.Meter.Time, cancellation);
    }

    /// <inheritdoc/>
    protected override void Take(in ContemplationEvent news)
    {
        if (news is { Kind: ContemplationEventKind.AgentStarted, Sequence: { } sequence })
        {
            // A prompt that agents have in common is paid once.
            if (news.SharesPrompt)
                _turn.Meter.AddSharing(sequence);
            else
                _turn.Meter.Add([sequence]);
        }

        base.Take(news);
    }

    /// <inheritdoc/>
    protected override void Count(ContemplationTrace trace, AgentTrace? speaker)
    {
        int content = speaker is null ? 0 : Math.Min(speaker.OutputTokens, _turn.Model.Tokenizer.Encode(speaker.Content, addSpecial: false, parseSpecial: false).Length);
        _turn.Meter.CountReasoning(trace.Cost.OutputTokens - content);
    }

    private AgentVariety Variety()
    {
        IReadOnlyList<string> names = _turn.Request.Contemplation.Adapters;
        var variants = new ModelVariant[names.Count];
        for (int i = 0; i < variants.Length; i++)
        {
            string path = $"contemplation.adapters[{i}]";
            variants[i] = _turn.Model.Variants.FirstOrDefault(v => v.Name == names[i] || (v.Adapter is not null && v.Name == $"{_turn.Model.Name}:{names[i]}"))
                ?? throw JsonFields.InvalidChoice(path, names[i], [.. _turn.Model.Variants.Select(v => v.Name)]);
        }

        return new AgentVariety(_turn.Request.Contemplation.Perspectives, variants);
    }
}
