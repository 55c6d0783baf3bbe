using Flint.Grammar;

namespace Flint.Engine;

/// <summary>Turns the logits after a sequence's last token into its next token, its events, and perhaps its end.</summary>
internal sealed class TokenWriter(TokenTable table, Sampler sampler)
{
    private readonly ulong[] _allowed = new ulong[(table.Count + 63) / 64];

    /// <summary>Draws a sequence's next token and publishes what may be shown of it.</summary>
    /// <returns>Why the sequence ends with it; null where it goes on.</returns>
    public FinishReason? Next(Sequence sequence, ReadOnlySpan<float> logits)
    {
        RequestPlan plan = sequence.Plan;
        int token = Draw(sequence, logits);
        if (token < 0)
            return FinishReason.Error;
        float logprob = float.NaN;
        bool unsure = false;
        if (plan.WantsLogprobs)
        {
            double logSumExp = sampler.LogSumExp(logits);
            logprob = (float)(logits[token] - logSumExp);
            sequence.Ring.NextTops(out Span<int> topTokens, out Span<float> topLogprobs);
            Sampler.Top(logits, logSumExp, topTokens, topLogprobs);
            if (plan.Floor is { } floor)
            {
                ConfidenceWindow confidence = sequence.Confidence!;
                confidence.Add(ConfidenceWindow.Of(logprob, topLogprobs, floor.Top));
                unsure = confidence.IsFull && confidence.Current < floor.Least;
            }
        }
        int previous = sequence.Tokens[^1];
        sequence.Append(token);

        if ((!plan.IgnoreEos && table.EndsGeneration(token)) || IsStopToken(sequence, token))
        {
            WriteSilent(sequence, token, logprob);
            return FinishReason.Stop;
        }
        if (sequence.Grammar is not null && !TryRead(sequence, sequence.Grammar, token, previous))
            return FinishReason.Error;
        StopMatcher matcher = sequence.Matcher;
        if (table.IsSpecial(token) && !plan.ShowSpecial)
        {
            WriteSilent(sequence, token, logprob);
        }
        else
        {
            int start = matcher.Position;
            ReadOnlySpan<byte> bytes = table.Bytes(token, previous);
            bool stopped = matcher.Push(bytes);
            sequence.Ring.Write(token, logprob, start, start + bytes.Length);
            if (stopped)
            {
                sequence.MatchedStop = plan.Stops[matcher.Match];
                sequence.Ring.Publish(matcher.Released);
                return FinishReason.Stop;
            }
            sequence.Ring.Publish(matcher.Released);
        }
        if (unsure)
            return FinishReason.LowConfidence;
        if (sequence.Grammar is { CanGoOn: false })
            return FinishReason.Stop;
        return sequence.OutputTokens == plan.MaxOutput ? FinishReason.Length : null;
    }

    /// <summary>Publishes the end of a sequence, and before it all text that no stop string cut off.</summary>
    public static void Complete(Sequence sequence, FinishReason reason)
    {
        if (sequence.Matcher.Match < 0)
        {
            sequence.Matcher.Break();
            sequence.Ring.Publish(sequence.Matcher.Released);
        }
        sequence.Ring.Complete(reason, sequence.Matcher.Released);
    }

    /// <summary>Draws the next token, of those that the grammar allows where there is one.</summary>
    /// <returns>-1 where none can be drawn; the sequence then has its fault.</returns>
    private int Draw(Sequence sequence, ReadOnlySpan<float> logits)
    {
        double uniform = Sampler.Uniform(sequence.SampleSeed, sequence.OutputTokens);
        GrammarState? grammar = sequence.Grammar;
        if (grammar is not null && !TryMask(sequence, grammar))
            return -1;
        ReadOnlySpan<ulong> allowed = grammar is null ? default : _allowed.AsSpan(0, grammar.MaskWords);
        int token = sampler.Sample(logits, sequence.Plan.Sampling, sequence.Tokens, sequence.Prompt.Length, uniform, allowed);
        if (token >= 0)
            return token;
        sequence.Fault = grammar is not null && Reductions.ArgMax(logits) >= 0
            ? FlintException.Caller("no_token_allowed",
                "No token can be drawn that the grammar allows next: the vocabulary has none, or the request's logit bias rules them out.")
            : new FlintException(
                FaultSide.Bug, "logits_not_finite",
                $"The model's logits at position {sequence.Length - 1} of sequence {sequence.Id} hold no finite number to draw from.");
        return -1;
    }

    /// <summary>Finds the tokens that the grammar allows next; those that end generation where the text may end.</summary>
    private bool TryMask(Sequence sequence, GrammarState grammar)
    {
        try
        {
            grammar.CopyMask(_allowed.AsSpan(0, grammar.MaskWords), table.BeginsText(sequence.Tokens[^1]));
        }
        catch (FlintException fault)
        {
            sequence.Fault = fault;
            return false;
        }
        if (grammar.CanEnd)
        {
            foreach (int end in sequence.Plan.Ends)
                _allowed[end >> 6] |= 1UL << end;
        }
        return true;
    }

    private bool TryRead(Sequence sequence, GrammarState grammar, int token, int previous)
    {
        try
        {
            if (grammar.TryRead(token, table.BeginsText(previous)))
                return true;
            sequence.Fault = new FlintException(FaultSide.Bug, "grammar_lost", $"Token {token} was drawn, which the grammar does not take.");
        }
        catch (FlintException fault)
        {
            sequence.Fault = fault;
        }
        return false;
    }

    /// <summary>A token that shows no text ends what could become a stop string before it.</summary>
    private static void WriteSilent(Sequence sequence, int token, float logprob)
    {
        sequence.Matcher.Break();
        sequence.Ring.Write(token, logprob, -1, sequence.Matcher.Position);
        sequence.Ring.Publish(sequence.Matcher.Released);
    }

    private static bool IsStopToken(Sequence sequence, int token)
    {
        foreach ((int stopToken, string stop) in sequence.Plan.StopTokens)
        {
            if (stopToken == token)
            {
                sequence.MatchedStop = stop;
                return true;
            }
        }
        return false;
    }
}
