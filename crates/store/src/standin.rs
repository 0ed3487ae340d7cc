//! Placeholder until the crypto crate is merged.
pub struct FrameCipher([u8; 32]);
#[derive(Debug)]
pub struct OpenError;
impl FrameCipher {
    pub fn new(salt: &[u8; 32]) -> Self { Self(*salt) }
    fn tag(&self, index: u64, aad: &[u8], data: &[u8]) -> [u8; 16] {
        let mut d = self.0.to_vec();
        d.extend_from_slice(&index.to_be_bytes());
        d.extend_from_slice(aad);
        d.extend_from_slice(data);
        let a = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &d);
        let b = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Xz, &d);
        (u128::from(a) << 64 | u128::from(b)).to_be_bytes()
    }
    pub fn seal(&self, index: u64, aad: &[u8], buffer: &mut Vec<u8>, from: usize) {
        buffer[from..].iter_mut().for_each(|b| *b ^= 0x5a);
        let tag = self.tag(index, aad, &buffer[from..]);
        buffer.extend_from_slice(&tag);
    }
    pub fn open<'a>(&self, index: u64, aad: &[u8], stored: &'a mut [u8]) -> Result<&'a mut [u8], OpenError> {
        let n = stored.len().checked_sub(16).ok_or(OpenError)?;
        let (data, tag) = stored.split_at_mut(n);
        if self.tag(index, aad, data) != *tag { return Err(OpenError); }
        data.iter_mut().for_each(|b| *b ^= 0x5a);
        Ok(data)
    }
}
pub struct PageCipher;
impl PageCipher {
    pub fn encrypt(&self, _page: u64, data: &mut [u8]) { data.iter_mut().for_each(|b| *b ^= 0x5a); }
    pub fn decrypt(&self, _page: u64, data: &mut [u8]) { data.iter_mut().for_each(|b| *b ^= 0x5a); }
}
