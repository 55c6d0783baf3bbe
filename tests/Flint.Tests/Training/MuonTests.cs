using Flint.Kernels;
using Flint.Training;
using Xunit;

namespace Flint.Tests.Training;

public sealed unsafe class MuonTests
{
    /// <summary>The step of a matrix has singular values near 1, whatever those of the gradient: X·Xᵀ of it is near the identity.</summary>
    [Theory]
    [InlineData(24, 40)]
    [InlineData(40, 24)]
    [InlineData(16, 16)]
    public void AStepHasSingularValuesNearOne(int rows, int columns)
    {
        using var trained = new TrainedTensors([("blk.0.x.weight", columns, rows)]);
        using var team = new Team(2);
        using var muon = new Muon(trained, team, [.. trained.All]);
        var random = new Random(1);
        for (int i = 0; i < trained.Count; i++) trained.Gradients[i] = (random.NextSingle() - 0.5f) * (i % 7 == 0 ? 3 : 1);
        muon.Step(new TrainerOptions { WeightDecay = 0, Momentum = 0 }, rate: 1, gradientScale: 1);
        double scale = -0.2 * Math.Sqrt(Math.Max(rows, columns)), along = 0;
        for (int i = 0; i < trained.Count; i++) along += trained.Values[i] / scale * trained.Gradients[i];
        Assert.True(along > 0);
        double squares = 0;
        for (int i = 0; i < trained.Count; i++) squares += Math.Pow(trained.Values[i] / scale, 2);
        Assert.InRange(squares / Math.Min(rows, columns), 0.6, 1.4); // the mean of the squared singular values
        int side = Math.Min(rows, columns);
        for (int a = 0; a < side; a++)
        {
            double own = 0;
            for (int b = 0; b < Math.Max(rows, columns); b++)
                own += Math.Pow(trained.Values[rows <= columns ? a * columns + b : b * columns + a] / scale, 2);
            Assert.InRange(own, 0.4, 1.6);
        }
    }
}
