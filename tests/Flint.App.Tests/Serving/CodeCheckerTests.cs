using Flint.App.Serving;

namespace Flint.App.Tests.Serving;

/// <summary>Commands that code is put to.</summary>
public sealed class CodeCheckerTests
{
    private static readonly CodeChecker Shell = new(["/bin/sh"], TimeSpan.FromSeconds(60));

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Code_and_tests_are_run_and_their_status_decides()
    {
        Assert.True(await Shell.PassesAsync("add() { echo $(($1 + $2)); }", "[ $(add 2 3) = 5 ]", Test));
        Assert.False(await Shell.PassesAsync("add() { echo $(($1 - $2)); }", "[ $(add 2 3) = 5 ]", Test));
        Assert.False(await Shell.PassesAsync("(((", "true", Test));
        Assert.True(await Shell.PassesAsync("exit 0\n" + new string('#', 1 << 20), "false", Test)); // that ends before it has read all
        Assert.True(await Shell.PassesAsync("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2", "true", Test)); // what it says is nobody's
    }

    [Fact]
    public async Task A_check_ends_at_its_limit_or_when_it_is_told_to()
    {
        Assert.False(await new CodeChecker(["/bin/sh"], TimeSpan.FromMilliseconds(50)).PassesAsync("while true; do :; done", "", Test));
        using var stop = new CancellationTokenSource();
        Task<bool> endless = Shell.PassesAsync("while true; do :; done", "", stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => endless);
    }

    [Fact]
    public async Task It_sees_nothing_of_the_servers_environment()
    {
        Environment.SetEnvironmentVariable("CODE_CHECKER_SECRET", "hush");
        Assert.True(await Shell.PassesAsync("", "[ -z \"$CODE_CHECKER_SECRET\" ] && [ -n \"$PATH\" ]", Test));
    }

    [Fact]
    public async Task What_cannot_be_run_is_the_machines_fault()
    {
        FlintException fault = await Assert.ThrowsAsync<FlintException>(() => new CodeChecker(["/no/such/program"], TimeSpan.FromSeconds(1)).PassesAsync("", "", Test));
        Assert.Equal((FaultSide.Machine, "checker_failed"), (fault.Side, fault.Code));
        Assert.Throws<FlintException>(() => new CodeChecker([], TimeSpan.FromSeconds(1)));
        Assert.Throws<FlintException>(() => new CodeChecker(["a"], TimeSpan.FromSeconds(CodeChecker.MaxSeconds + 1)));
    }

    [Theory]
    [InlineData("print(1)", "print(1)")]
    [InlineData("Here:\n```python\nx = 1\n```\nand better:\n```\nx = 2\n```\n", "x = 2\n")]
    [InlineData("```sh\ntrue\n", "```sh\ntrue\n")]
    public void The_last_block_is_the_code(string answer, string code) => Assert.Equal(code, CodeChecker.CodeOf(answer));
}
