using System.Text;
using Flint.Engine;

namespace Flint.Tests.Simulation;

/// <summary>What a request must give, computed alone and the plain way: no batch, no pages, no cache, no ring.</summary>
internal sealed class Expectation
{
    public List<int> Tokens { get; } = [];

    public string Text { get; private set; } = "";

    public FinishReason Finish { get; private set; } = FinishReason.Length;

    public static Expectation Of(GenerationRequest request, TokenTable table, int sample, int room, int vocabulary)
    {
        var result = new Expectation();
        var history = new List<int>(request.Prompt);
        var sampler = new Sampler(vocabulary);
        float[] logits = new float[vocabulary];
        ulong seed = Sampler.SampleSeed(request.Sampling.Seed!.Value, sample);
        var text = new StringBuilder();
        var segment = new List<byte>();
        byte[][] stops = [.. request.Stop.Select(Encoding.UTF8.GetBytes)];
        while (result.Tokens.Count < Math.Min(request.MaxTokens, room) && result.Finish == FinishReason.Length)
        {
            SimulatedForward.FillLogits(SimulatedForward.Hash(history.ToArray()), logits);
            int token = sampler.Sample(
                logits, request.Sampling, history.ToArray(), request.Prompt.Length, Sampler.Uniform(seed, result.Tokens.Count));
            history.Add(token);
            result.Tokens.Add(token);
            if (table.EndsGeneration(token) && !request.IgnoreEos)
            {
                result.Finish = FinishReason.Stop;
            }
            else if (table.IsSpecial(token) && !request.ShowSpecial)
            {
                text.Append(Encoding.UTF8.GetString(segment.ToArray()));
                segment.Clear();
            }
            else
            {
                foreach (byte b in Printed(table, token, history[^2]))
                {
                    segment.Add(b);
                    int cut = stops.Where(stop => EndsWith(segment, stop)).Select(stop => stop.Length).DefaultIfEmpty(0).Max();
                    if (cut == 0)
                        continue;
                    segment.RemoveRange(segment.Count - cut, cut);
                    result.Finish = FinishReason.Stop;
                    break;
                }
            }
        }
        text.Append(Encoding.UTF8.GetString(segment.ToArray()));
        result.Text = text.ToString();
        return result;
    }

    // After a special token a space at the beginning is not printed.
    private static byte[] Printed(TokenTable table, int token, int previous)
    {
        byte[] bytes = table.Bytes(token).ToArray();
        return table.IsSpecial(previous) && !table.IsSpecial(token) && bytes.Length > 0 && bytes[0] == ' ' ? bytes[1..] : bytes;
    }

    private static bool EndsWith(List<byte> text, byte[] stop) =>
        text.Count >= stop.Length && stop.AsSpan().SequenceEqual(text.ToArray().AsSpan(text.Count - stop.Length));
}
