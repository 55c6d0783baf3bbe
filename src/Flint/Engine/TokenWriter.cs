namespace Flint.Engine;

/// <summary>Turns the logits after a sequence's last token into its next token, its events, and perhaps its end.</summary>
internal sealed class TokenWriter(TokenTable table, Sampler sampler)
{
    /// <summary>Draws a sequence's next token and publishes what may be shown of it.</summary>
    /// <returns>Why the sequence ends with it; null where it goes on.</returns>
    public FinishReason? Next(Sequence sequence, ReadOnlySpan<float> logits)
    {
        RequestPlan plan = sequence.Plan;
        double uniform = Sampler.Uniform(sequence.SampleSeed, sequence.OutputTokens);
        int token = sampler.Sample(logits, plan.Sampling, sequence.Tokens, sequence.Prompt.Length, uniform);
        if (token < 0)
        {
            sequence.Fault = new FlintException(
                FaultSide.Bug, "logits_not_finite",
                $"The model's logits at position {sequence.Length - 1} of sequence {sequence.Id} hold no finite number to draw from.");
            return FinishReason.Error;
        }
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
