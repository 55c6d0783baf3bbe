using Flint.Kernels;
using Flint.Memory;
using Xunit;

namespace Flint.Tests.Kernels;

/// <summary>Attention over a document against its definition in binary64, and its gradients against central differences of that definition.</summary>
public sealed unsafe class TrainingAttentionTests
{
    [Theory]
    [InlineData(1, 1, 0, 0f)]
    [InlineData(40, 2, 0, 0f)]
    [InlineData(150, 3, 20, 0f)]
    [InlineData(150, 1, 0, 2.5f)]
    [InlineData(70, 2, 64, 1.5f)]
    public void ForwardAndBackwardFollowTheDefinition(int tokens, int group, int window, float cap)
    {
        const int head = 12, value = 20;
        var random = new Random(tokens + group);
        double[] q = Fill(random, tokens * group * head), k = Fill(random, tokens * head), v = Fill(random, tokens * value), dy = Fill(random, tokens * group * value);
        double[] y = Attend(q, k, v, tokens, group, head, value, window, cap);

        using var run = new Run(q, k, v, dy, tokens, group, head, value, window, cap);
        for (int i = 0; i < y.Length; i++) Assert.Equal(y[i], run.Output(i), 2e-5);

        double Total(double[] q1, double[] k1, double[] v1) => Attend(q1, k1, v1, tokens, group, head, value, window, cap).Zip(dy, (a, b) => a * b).Sum();
        for (int probe = 0; probe < 24; probe++)
        {
            int iq = random.Next(q.Length), ik = random.Next(k.Length), iv = random.Next(v.Length);
            Assert.Equal(Slope(q, iq, x => Total(x, k, v)), run.QueryGradient(iq), 1e-3);
            Assert.Equal(Slope(k, ik, x => Total(q, x, v)), run.KeyGradient(ik), 1e-3);
            Assert.Equal(Slope(v, iv, x => Total(q, k, x)), run.ValueGradient(iv), 1e-3);
        }
    }

    private static double Slope(double[] x, int at, Func<double[], double> f)
    {
        double[] up = [.. x], down = [.. x];
        up[at] += 1e-5;
        down[at] -= 1e-5;
        return (f(up) - f(down)) / 2e-5;
    }

    private static double[] Attend(double[] q, double[] k, double[] v, int tokens, int group, int head, int value, int window, float cap)
    {
        double[] y = new double[tokens * group * value];
        for (int t = 0; t < tokens; t++)
        {
            for (int h = 0; h < group; h++)
            {
                int first = window > 0 ? Math.Max(0, t - window + 1) : 0;
                double[] p = new double[t + 1 - first];
                for (int s = first; s <= t; s++)
                {
                    double score = 0;
                    for (int d = 0; d < head; d++) score += q[(t * group + h) * head + d] * k[s * head + d];
                    score *= Scale;
                    p[s - first] = Math.Exp(cap > 0 ? cap * Math.Tanh(score / cap) : score);
                }

                double sum = p.Sum();
                for (int s = first; s <= t; s++)
                {
                    for (int d = 0; d < value; d++) y[(t * group + h) * value + d] += p[s - first] / sum * v[s * value + d];
                }
            }
        }

        return y;
    }

    private const float Scale = 0.7f;

    private static double[] Fill(Random random, int count)
    {
        double[] values = new double[count];
        for (int i = 0; i < count; i++) values[i] = (float)(2 * random.NextDouble() - 1);
        return values;
    }

    /// <summary>The kernel on the same numbers.</summary>
    private sealed class Run : IDisposable
    {
        private readonly List<NativeBuffer> _buffers = [];
        private readonly TrainingAttentionItem _item;

        public Run(double[] q, double[] k, double[] v, double[] dy, int tokens, int group, int head, int value, int window, float cap)
        {
            _item = new TrainingAttentionItem
            {
                Queries = Copy(q), QueryStride = group * head, Keys = Copy(k), KeyStride = head, Values = Copy(v), ValueStride = value,
                Outputs = Copy(new double[dy.Length]), OutputStride = group * value, LogSums = Copy(new double[tokens * group]), LogSumStride = group,
                OutputGradient = Copy(dy), QueryGradient = Copy(new double[q.Length]), KeyGradient = Copy(new double[k.Length]), ValueGradient = Copy(new double[v.Length]),
                Tokens = tokens, Group = group, HeadLength = head, ValueLength = value, Window = window, Scale = Scale, Cap = cap,
            };
            var scratch = NativeBuffer.Of<float>(TrainingAttention.ScratchFloats(tokens, group, head, value));
            _buffers.Add(scratch);
            TrainingAttention.Forward<LanesScalar>(_item, (float*)scratch.Pointer);
            TrainingAttention.Backward<LanesScalar>(_item, (float*)scratch.Pointer);
            if (!Flint.Kernels.Isa.IsSupported(LaneBody.Avx2)) return;

            float[] scalar = new ReadOnlySpan<float>(_item.KeyGradient, k.Length).ToArray();
            TrainingAttention.Forward<Lanes256>(_item, (float*)scratch.Pointer);
            TrainingAttention.Backward<Lanes256>(_item, (float*)scratch.Pointer);
            Assert.Equal(scalar, new ReadOnlySpan<float>(_item.KeyGradient, k.Length).ToArray());
        }

        public float Output(int i) => _item.Outputs[i];

        public float QueryGradient(int i) => _item.QueryGradient[i];

        public float KeyGradient(int i) => _item.KeyGradient[i];

        public float ValueGradient(int i) => _item.ValueGradient[i];

        public void Dispose()
        {
            foreach (NativeBuffer buffer in _buffers) buffer.Dispose();
        }

        private float* Copy(double[] values)
        {
            var buffer = NativeBuffer.Of<float>(values.Length);
            _buffers.Add(buffer);
            for (int i = 0; i < values.Length; i++) ((float*)buffer.Pointer)[i] = (float)values[i];
            return (float*)buffer.Pointer;
        }
    }
}
