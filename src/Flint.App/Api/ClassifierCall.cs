using Flint.App.Accounts;
using Flint.App.Policy;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Dialects;
using Flint.Engine;

namespace Flint.App.Api;

/// <summary>One question of a classifier to its model, of this server's own or an upstream's: likeliest tokens, and as few thoughts as can be.</summary>
/// <param name="rule">Whose.</param>
/// <param name="window">The text it is about.</param>
/// <param name="record">Receives what it uses.</param>
internal sealed class ClassifierCall(ClassifierRule rule, string window, UsageRecord record)
{
    private static readonly SamplingOptions Likeliest = new() { Temperature = 0 };

    // The operator's own: what waits for a judgement waits for everybody else's tokens too, if this does.
    private static readonly EngineShare Operator = new(-1) { Weight = EngineShare.MaxWeight };

    /// <summary>What is set aside for it; null where nothing was.</summary>
    public Reservation? Reservation { get; private set; }

    /// <summary>Asks.</summary>
    /// <returns>The answer, without thoughts.</returns>
    /// <exception cref="FlintException">The model cannot be asked.</exception>
    /// <exception cref="ApiException">The server is stopping.</exception>
    public Task<string> RunAsync(NamedModel model, Reservations reservations, CancellationToken stop)
    {
        record.Fingerprint = model.Fingerprint;
        ChatMessage[] messages = [new() { Role = "user", Content = rule.Prompt.Replace(ClassifierRule.Slot, window, StringComparison.Ordinal) }];
        return model is UpstreamModel upstream ? AskAsync(upstream, messages, reservations, stop) : AskAsync((ModelVariant)model, messages, reservations, stop);
    }

    private async Task<string> AskAsync(ModelVariant variant, ChatMessage[] messages, Reservations reservations, CancellationToken stop)
    {
        ServedModel model = variant.Model;
        ModePlan plan = ModePlan.Of(model.Dialect, ReasoningMode.Instant, effort: null, budget: null, offersTools: false);
        ChatPrompt prompt = model.Encode(new TemplateInput { Messages = messages, Tools = [], Extra = plan.Variables, BosToken = model.BosText, EosToken = model.EosText, Now = DateTimeOffset.Now });
        if (plan.OpensAnswer)
            prompt = model.Prime(prompt, model.Dialect.AnswerOpening(prompt.OpensReasoning));
        var said = new List<ResponseDelta>();
        ResponseParser parser = model.CreateParser(prompt, [], callId: null, said);
        await ReserveAsync(reservations, variant, prompt.Ids.Length, []);
        Sequence sequence = model.Engine.Submit(new GenerationRequest { Prompt = prompt.Ids, Adapter = variant.Adapter, MaxTokens = rule.MaxTokens, Sampling = Likeliest, Stop = model.ChatStops, Share = Operator });
        try
        {
            while (await sequence.WaitAsync(stop))
            {
                while (sequence.TryRead(out TokenEvent next))
                {
                    if (next.Kind != TokenEventKind.Finished)
                        model.Push(parser, next, said);
                }
            }

            parser.Finish(said);
        }
        finally
        {
            await Generation.CancelAsync([sequence]);
            (record.PromptTokens, record.CachedTokens, record.OutputTokens) = (sequence.PromptTokens, sequence.CachedTokens, sequence.OutputTokens);
            record.Cost = Reservation?.Price?.Of(record.PromptTokens, record.CachedTokens, record.OutputTokens) ?? 0;
            record.CpuMs = sequence.ComputeTime.TotalMilliseconds * model.Model.Threads;
            record.QueueMs = sequence.QueueTime?.TotalMilliseconds ?? 0;
            record.FirstTokenMs = sequence.FirstTokenTime?.TotalMilliseconds ?? 0;
        }

        return sequence.FinishReason switch
        {
            FinishReason.Cancelled => throw ApiException.Stopping(),
            FinishReason.Error => throw sequence.Fault ?? new FlintException(FaultSide.Bug, "no_fault", "A sequence failed without a fault."),
            _ => Content(said),
        };
    }

    private async Task<string> AskAsync(UpstreamModel model, ChatMessage[] messages, Reservations reservations, CancellationToken stop)
    {
        var request = new UpstreamRequest
        {
            Messages = UpstreamRequest.WriteMessages(messages), Tools = default, Sampling = Likeliest,
            MaxTokens = Math.Min(rule.MaxTokens, model.Options.MaxOutput), Effort = "none", Thinks = false,
        };
        await ReserveAsync(reservations, model, request.MostPromptTokens(model.Options), model.Prices);
        var said = new List<ResponseDelta>();
        await using var answer = new UpstreamAnswer(model, request);
        try
        {
            await answer.BeginAsync(static _ => { }, stop);
            var news = new List<UpstreamNews>();
            while (await answer.ReadAsync(news))
            {
                said.AddRange(news.Where(one => one.Finish is null).Select(one => one.Delta));
                news.Clear();
            }
        }
        finally
        {
            UpstreamUsage used = answer.Usage;
            if (answer.Target is string target)
                record.Fingerprint = "upstream:" + target;
            (record.PromptTokens, record.CachedTokens, record.OutputTokens, record.ReasoningTokens) = (used.PromptTokens, used.CachedTokens, used.OutputTokens, used.ReasoningTokens ?? 0);
            record.Cost = (answer.Price ?? Reservation?.Price)?.Of(used.PromptTokens, used.CachedTokens, used.OutputTokens) ?? 0;
        }

        return Content(said);
    }

    // No key pays, so that nothing can refuse it; the price is that of now.
    private async Task ReserveAsync(Reservations reservations, NamedModel model, long promptTokens, IReadOnlyList<Price> prices)
    {
        Grant grant = await reservations.ReserveAsync(new Demand { RequestId = record.RequestId, Key = null, Model = model.Name, PromptTokens = promptTokens, OutputTokens = rule.MaxTokens, Prices = prices });
        Reservation = grant.Reservation;
    }

    private static string Content(List<ResponseDelta> said) => string.Concat(said.Where(delta => delta.Kind == ResponseDeltaKind.Content).Select(delta => delta.Text));
}
